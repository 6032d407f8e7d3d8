"""Stand-ins for base images that cannot be pulled, made from Debian's packages."""

import re
import shlex
import tempfile
from pathlib import Path

from testbed.commands import run, say, succeeds
from testbed.errors import TestbedError

STAND_IN_LABEL = "dev.batchedllm.testbed.stand-in"
_PACKAGES = ("python3-minimal", "python3-venv", "python3-pip", "libpython3-stdlib", "ca-certificates")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PULL_SECONDS = 900
_BOOTSTRAP_SECONDS = 900
# What the official image has and Debian's packages do not: the plain names, and a pip that may install.
_LIKE_THE_OFFICIAL = (
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python3"',
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/var/cache/apt/*.bin',
)


def can_stand_in(reference: str) -> bool:
    """Tell whether a stand-in is known: Debian bookworm's own Python for the official slim images of 3.11."""
    name = reference.removeprefix("docker.io/").removeprefix("library/").split("@")[0]
    return name in {"python:3.11-slim", "python:3.11-slim-bookworm"}


def bootstrap_command(output: Path) -> list[str]:
    """Return the command that makes the stand-in's root file system."""
    hooks = [f"--customize-hook={hook}" for hook in _LIKE_THE_OFFICIAL]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(_PACKAGES)}",
        *hooks,
        "bookworm",
        str(output),
    ]


def ensure(buildah: list[str], reference: str, directory: Path) -> None:
    """See that a base image is in buildah's store: already, pulled, or a stand-in, which is said."""
    if succeeds([*buildah, "inspect", "--type=image", reference]):
        return
    try:
        run([*buildah, "pull", "--quiet", "--policy=missing", reference], timeout_seconds=_PULL_SECONDS)
    except TestbedError as error:
        if not can_stand_in(reference):
            raise TestbedError(f"the base image {reference} cannot be pulled and has no stand-in: {error}") from error
        reason = str(error).strip().splitlines()[-1][:200]
    else:
        return
    say(f"testbed: {reference} cannot be pulled ({reason})")
    say("testbed: making a stand-in for it from Debian bookworm packages (about a minute, once). "
        "What is tested is this project on Debian's Python, not the official base image")  # fmt: skip
    _make(buildah, reference, directory)


def docker_digest_command(reference: str) -> list[str]:
    """Return the command that asks the image's registry for its digest."""
    return ["docker", "buildx", "imagetools", "inspect", reference, "--format", "{{.Manifest.Digest}}"]


def buildah_digest_command(buildah: list[str], reference: str) -> list[str]:
    """Return the command that tells the digest that a pulled image had; of a stand-in, words that are none."""
    label = f'{{{{index .OCIv1.Config.Labels "{STAND_IN_LABEL}"}}}}'
    words = f"{{{{if {label[2:-2]}}}}}a stand-in{{{{else}}}}{{{{.FromImageDigest}}}}{{{{end}}}}"
    return [*buildah, "inspect", "--type=image", f"--format={words}", reference]


def digest(command: list[str], reference: str) -> str:
    """Return the digest of a base image, `sha256:...`; empty where none can be looked up, which is said."""
    if not reference:
        return ""
    try:
        told = run(command).strip()
    except TestbedError as error:
        told = str(error).strip().splitlines()[-1][:200]
    if _DIGEST.fullmatch(told):
        return told
    say(f"testbed: the digest of {reference} cannot be looked up ({told}), so the image's labels name none")
    return ""


def _make(buildah: list[str], reference: str, directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as name:
        work = Path(name)
        run(bootstrap_command(work / "root.tar"), timeout_seconds=_BOOTSTRAP_SECONDS)
        recipe = (
            f"FROM scratch\nADD root.tar /\nLABEL {STAND_IN_LABEL}={shlex.quote(reference)}\n"
            'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\nCMD ["python3"]\n'
        )
        (work / "Dockerfile").write_text(recipe)
        run([*buildah, "build", "--quiet", "--tag", reference, str(work)], timeout_seconds=_BOOTSTRAP_SECONDS)
