"""What a Dockerfile's target is made of: its base images, and the files of the context that it copies.

Enough of the syntax to answer those two questions for the project's own Dockerfiles: continuation lines,
ARG before the first FROM, stages that build on or copy from each other, JSON and plain COPY.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from testbed.errors import TestbedError


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it."""

    name: str
    base: str
    needs: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """What building one target takes from outside the Dockerfile, and the instructions that it runs."""

    base_images: tuple[str, ...]
    sources: tuple[str, ...]
    instructions: tuple[str, ...]
    base_image: str = ""
    """The one of `base_images` that the target's own layers lie on."""


def instructions(text: str) -> list[str]:
    """Return the instructions, one a line, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def stages(text: str, arguments: dict[str, str]) -> list[Stage]:
    """Return the stages in order; `arguments` override the defaults of ARGs before the first FROM."""
    values: dict[str, str] = {}
    found: list[Stage] = []
    for line in instructions(text):
        keyword, _, rest = line.partition(" ")
        if keyword.upper() == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            name = words[2] if len(words) > 2 else str(len(found))
            found.append(Stage(name, _expand(words[0], values)))
        elif keyword.upper() == "ARG" and not found:
            name, _, default = rest.partition("=")
            values[name] = arguments.get(name, default)
        if found:
            found[-1].instructions.append(line)
            if keyword.upper() in {"COPY", "ADD"}:
                _note_copy(found[-1], rest)
    return found


def _expand(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found.group(1), ""), text)


def _note_copy(stage: Stage, rest: str) -> None:
    words = rest.split()
    flags = [word for word in words if word.startswith("--")]
    origin = next((flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")), None)
    if origin is not None:
        stage.needs.append(origin)
        return
    plain = " ".join(word for word in words if not word.startswith("--"))
    stage.sources += json.loads(plain)[:-1] if plain.startswith("[") else plain.split()[:-1]


def target(text: str, name: str | None, arguments: dict[str, str]) -> Target:
    """Return what the target needs, through all stages that it stands on. `None` is the last stage."""
    listed = stages(text, arguments)
    by_name = {stage.name: stage for stage in listed}
    if not listed or (name is not None and name not in by_name):
        raise TestbedError(f"the Dockerfile has no target {name!r}; it has {sorted(by_name)}")
    queue, seen, outside = [name or listed[-1].name], [], []
    while queue:
        wanted = queue.pop()
        if wanted not in by_name:
            outside.append(wanted)
        elif wanted not in seen:
            seen.append(wanted)
            queue += [by_name[wanted].base, *by_name[wanted].needs]
    used = [stage for stage in listed if stage.name in seen]
    return Target(
        tuple(sorted({image for image in outside if image != "scratch"})),
        tuple(source for stage in used for source in stage.sources),
        tuple(line for stage in used for line in stage.instructions),
        _base_image(name or listed[-1].name, by_name),
    )


def _base_image(name: str, by_name: dict[str, Stage]) -> str:
    while name in by_name:
        name = by_name[name].base
    return name


def ignored(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether .dockerignore's patterns leave a context path out; the last one that matches decides."""
    verdict = False
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for pattern in patterns:
        plain = pattern.removeprefix("!").strip("/")
        forms = {plain, plain.removeprefix("**/")} if plain.startswith("**/") else {plain}
        hit = any(fnmatch(candidate, form) for candidate in parents for form in forms)
        deep = plain.startswith("**/") and any(fnmatch(candidate, f"*/{plain[3:]}") for candidate in parents)
        if hit or deep:
            verdict = not pattern.startswith("!")
    return verdict


def context_files(context: Path, sources: Iterable[str], ignore: str) -> list[Path]:
    """Return the files that COPY would take, sorted. Raises TestbedError for a source that is not there."""
    patterns = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    found: set[Path] = set()
    for source in sources:
        matches = list(context.glob(source.removeprefix("./").rstrip("/") or "."))
        if not matches:
            raise TestbedError(f"COPY {source}: not in {context}")
        for match in matches:
            found.update([match] if match.is_file() else [path for path in match.rglob("*") if path.is_file()])
    return sorted(path for path in found if not ignored(str(path.relative_to(context)), patterns))


def content_hash(context: Path, files: Iterable[Path], settings: object) -> str:
    """Return a hash of the files (names, whether they run, contents) and of the settings that change what is built."""
    digest = hashlib.sha256(repr(settings).encode())
    for path in files:
        runs = bool(path.stat().st_mode & 0o100)  # the rest of the mode is the umask of whoever checked it out
        digest.update(f"\0{path.relative_to(context)}\0{runs}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
