"""The project's own images: built from its Dockerfiles when what they copy has changed, kept as archives."""

import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from testbed import builders, dockerfile
from testbed.commands import say
from testbed.errors import TestbedError
from testbed.locks import exclusive
from testbed.paths import REPOSITORY, cache_directory

_KEPT_ARCHIVES = 2


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """An image of this repository: its Dockerfile, target, and name without the version."""

    dockerfile: str
    target: str | None
    repository: str
    suffix: str = ""

    def reference(self, version: str) -> str:
        """Return the image's full name."""
        return f"batchedllm.dev/{self.repository}:{version}{self.suffix}"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that is there: its name and its archive. Equal hashes mean equal contents."""

    reference: str
    archive: Path
    content: str


PROJECT = {
    "operator": ProjectImage("operator/Dockerfile", None, "operator"),
    "engine-sim": ProjectImage("engine_image/Dockerfile", "sim", "engine", "-sim"),
    "engine-cpu": ProjectImage("engine_image/Dockerfile", "cpu", "engine", "-cpu"),
    "engine-gpu": ProjectImage("engine_image/Dockerfile", "gpu", "engine", "-gpu"),
}


def project_version(repository: Path = REPOSITORY) -> str:
    """Return the version that tags the images."""
    return str(tomllib.loads((repository / "operator/pyproject.toml").read_text())["project"]["version"])


def ensure_image(name: str, repository: Path = REPOSITORY) -> BuiltImage:
    """Return a project image, building it first if a file that it copies has changed since the last time."""
    recipe, content = _recipe(_project_image(name), repository)
    archive = cache_directory() / "images" / f"{name}-{content}.tar"
    with exclusive(cache_directory() / "images" / f"{name}.lock", f"building the image {name}"):
        if not archive.exists():
            _build(name, recipe, archive)
    return BuiltImage(recipe.reference, archive, content)


def _project_image(name: str) -> ProjectImage:
    if name not in PROJECT:
        raise TestbedError(f"{name!r} is no image of this project; it has {', '.join(sorted(PROJECT))}")
    return PROJECT[name]


def build_on(name: str, argument: str, base: BuiltImage, archive: Path, repository: Path = REPOSITORY) -> BuiltImage:
    """Build a project image on another one than its Dockerfile's `argument` names; it has a name of its own.

    The base must be one that was built here. The archive is the caller's to keep or to delete.
    """
    image = _project_image(name)
    recipe, content = _recipe(image, repository, {argument: base.reference})
    recipe = replace(recipe, reference=f"{recipe.reference}-on-{base.content[:8]}", base_image="")
    builders.build(recipe, archive)
    return BuiltImage(recipe.reference, archive, content)


def _recipe(
    image: ProjectImage, repository: Path, given: Mapping[str, str] = MappingProxyType({})
) -> tuple[builders.Recipe, str]:
    path = repository / image.dockerfile
    if not path.exists():
        raise TestbedError(f"{path} does not exist")
    needs = dockerfile.target(path.read_text(), image.target, dict(given))
    ignore = repository / ".dockerignore"
    files = dockerfile.context_files(repository, needs.sources, ignore.read_text() if ignore.exists() else "")
    version = project_version(repository)
    content = dockerfile.content_hash(repository, files, (needs, version))
    arguments = (("VERSION", version), *given.items())
    recipe = builders.Recipe(
        image.reference(version), path, image.target, repository, needs.base_images, arguments, needs.base_image
    )
    return recipe, content


def _build(name: str, recipe: builders.Recipe, archive: Path) -> None:
    say(f"testbed: building the image {recipe.reference}")
    begin = time.monotonic()
    unfinished = archive.with_suffix(".unfinished")
    try:
        builders.build(recipe, unfinished)
        unfinished.rename(archive)
    finally:
        unfinished.unlink(missing_ok=True)
    gigabytes = archive.stat().st_size / 1e9
    say(f"testbed: {recipe.reference} built in {time.monotonic() - begin:.0f} s, {gigabytes:.2f} GB")
    _forget_old(name, archive.parent)


def _forget_old(name: str, directory: Path) -> None:
    archives = sorted(directory.glob(f"{name}-*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for archive in archives[_KEPT_ARCHIVES:]:
        archive.unlink()


def load(
    name: str,
    directory: Path,
    load_archive: Callable[[Path, str], None],
    holds: Callable[[str], bool] = lambda _: True,
    repository: Path = REPOSITORY,
) -> str:
    """Build a project image if needed and load it; return its name.

    Neither is done where `directory` notes these contents and the node still `holds` them.
    """
    recipe, content = _recipe(_project_image(name), repository)
    marker = directory / name
    with exclusive(cache_directory() / "images" / f"{name}-loading.lock", f"loading the image {name}"):
        if not (marker.exists() and marker.read_text() == content and holds(recipe.reference)):
            load_archive(ensure_image(name, repository).archive, recipe.reference)
            directory.mkdir(parents=True, exist_ok=True)
            marker.write_text(content)
    return recipe.reference
