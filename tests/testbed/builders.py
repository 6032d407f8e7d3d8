"""Building one Dockerfile target into an archive: by Docker where its engine answers, else by buildah."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from testbed import base_images, packages
from testbed.commands import UMASK, succeeds, tail
from testbed.errors import TestbedError
from testbed.paths import cache_directory

_BUILD_SECONDS = 3600
_EXPORT_SECONDS = 1200
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PIP_SETTINGS = {"PIP_INDEX_URL": "index-url", "PIP_EXTRA_INDEX_URL": "extra-index-url",
                 "PIP_TRUSTED_HOST": "trusted-host", "PIP_DEFAULT_TIMEOUT": "timeout"}  # fmt: skip
_CERTIFICATES = Path("/etc/ssl/certs")
_BUNDLE = _CERTIFICATES / "ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build: a Dockerfile's target under a name."""

    reference: str
    dockerfile: Path
    target: str | None
    context: Path
    base_images: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()
    base_image: str = ""
    """The one that the target's layers lie on; its digest is looked up and becomes a label. Empty: it is not."""

    def on(self, digest: str) -> "Recipe":
        """Return the recipe that notes which image it was built on."""
        return replace(self, arguments=(*self.arguments, ("BASE_DIGEST", digest))) if digest else self


def pip_configuration(environment: Mapping[str, str], bundle: Path = _BUNDLE) -> str:
    """Return a pip.conf by which a build step reaches the same package index as this machine."""
    lines = [f"{key} = {environment[name]}" for name, key in _PIP_SETTINGS.items() if environment.get(name)]
    if bundle.exists():
        lines.append(f"cert = {bundle}")
    return "\n".join(["[global]", *lines, ""])


def docker_commands(recipe: Recipe, archive: Path, environment: Mapping[str, str]) -> list[list[str]]:
    """Return Docker's commands. Proxies are the build arguments that Docker knows and does not keep."""
    proxies = [(name, environment[name]) for name in _PROXIES if environment.get(name)]
    flags = [f"--build-arg={name}={value}" for name, value in (*recipe.arguments, *proxies)]
    target = [f"--target={recipe.target}"] if recipe.target else []
    return [
        ["docker", "build", f"--file={recipe.dockerfile}", *target, *flags, f"--tag={recipe.reference}",
         str(recipe.context)],
        ["docker", "save", f"--output={archive}", recipe.reference],
    ]  # fmt: skip


def buildah_commands(recipe: Recipe, archive: Path, mounts: Sequence[str]) -> list[list[str]]:
    """Return buildah's commands. The archive is not compressed: it only travels to the next directory."""
    target = [f"--target={recipe.target}"] if recipe.target else []
    return [
        [*buildah(), "build", "--layers", "--pull-never", "--network=host", "--isolation=chroot",
         *(f"--volume={mount}" for mount in mounts), f"--file={recipe.dockerfile}", *target,
         *(f"--build-arg={name}={value}" for name, value in recipe.arguments),
         f"--tag={recipe.reference}", str(recipe.context)],
        [*buildah(), "push", "--quiet", recipe.reference, f"docker-archive:{archive}:{recipe.reference}"],
    ]  # fmt: skip


def _machine_mounts() -> list[str]:
    """Return what a build step sees of this machine: certificates and pip's settings, never in the image."""
    settings = cache_directory() / "pip.conf"
    settings.write_text(pip_configuration(os.environ))
    mounts = [f"{settings}:/etc/pip.conf:ro"]
    return [*mounts, f"{_CERTIFICATES}:{_CERTIFICATES}:ro"] if _BUNDLE.exists() else mounts


def buildah() -> list[str]:
    """Return buildah with a store of its own in the cache, on overlay mounts rather than copies."""
    store = cache_directory() / "containers"
    return ["buildah", f"--root={store}", "--runroot=/run/batchedllm-testbed-containers", "--storage-driver=overlay"]


def build(recipe: Recipe, archive: Path) -> None:
    """Build a recipe and write the image's archive. Raises TestbedError with the log's end when it fails."""
    log = cache_directory() / f"image-{archive.stem.rpartition('-')[0]}.log"
    archive.unlink(missing_ok=True)
    if shutil.which("docker") is not None and succeeds(["docker", "info"]):
        digest = base_images.digest(base_images.docker_digest_command(recipe.base_image), recipe.base_image)
        commands = docker_commands(recipe.on(digest), archive, os.environ)
    else:
        if sys.platform != "linux" or os.geteuid() != 0:
            raise TestbedError("building images needs a Docker engine, or root on Linux for buildah")
        packages.ensure(packages.IMAGES)
        for reference in recipe.base_images:
            base_images.ensure(buildah(), reference, cache_directory())
        digest = base_images.digest(base_images.buildah_digest_command(buildah(), recipe.base_image), recipe.base_image)
        commands = buildah_commands(recipe.on(digest), archive, _machine_mounts())
    for command, seconds in zip(commands, (_BUILD_SECONDS, _EXPORT_SECONDS), strict=True):
        _run_logged(command, log, seconds)


def _run_logged(command: list[str], log: Path, timeout_seconds: float) -> None:
    with log.open("w") as words:
        try:
            code = subprocess.run(
                command, stdout=words, stderr=words, stdin=subprocess.DEVNULL,
                timeout=timeout_seconds, check=False, umask=UMASK,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TestbedError(f"no end after {timeout_seconds:.0f} s: {' '.join(command)}\nlog {log}") from error
    if code != 0:
        raise TestbedError(f"exit code {code}: {' '.join(command)}\nlog {log}:\n{tail(log)}")
