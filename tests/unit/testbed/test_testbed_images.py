"""Images: what decides a rebuild, how they are built, and what a build may see of the machine."""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from testbed import archives, base_images, builders, dockerfile, images
from testbed.builders import Recipe
from testbed.errors import TestbedError

DOCKERFILE = """\
ARG PYTHON=docker.io/library/python:3.11-slim
FROM ${PYTHON} AS build
COPY requirements.txt /tmp/
RUN pip install \\
    # a comment amid a command
    -r /tmp/requirements.txt
FROM scratch AS sim
COPY --from=build /opt /opt
COPY --chown=1:1 source/a source/b /app/
FROM example.com/gpu:1 AS gpu
COPY ["gpu dir", "/x"]
"""


def test_a_target_needs_its_own_files_and_those_of_the_stages_it_stands_on():
    target = dockerfile.target(DOCKERFILE, "sim", {})

    assert target.base_images == ("docker.io/library/python:3.11-slim",)
    assert target.sources == ("requirements.txt", "source/a", "source/b")


def test_the_image_that_a_target_lies_on_is_found_through_its_stages():
    text = DOCKERFILE + "FROM gpu AS final\nCOPY --from=sim /opt /opt\n"

    assert dockerfile.target(text, "final", {}).base_image == "example.com/gpu:1"
    assert dockerfile.target(text, "build", {}).base_image == "docker.io/library/python:3.11-slim"


def test_stages_beside_the_target_do_not_count():
    assert not any("gpu" in line for line in dockerfile.target(DOCKERFILE, "sim", {}).instructions)


def test_the_last_stage_is_the_default_target():
    target = dockerfile.target(DOCKERFILE, None, {})

    assert (target.base_images, target.sources) == (("example.com/gpu:1",), ("gpu dir",))


def test_a_build_argument_changes_the_base_image():
    assert dockerfile.target(DOCKERFILE, "build", {"PYTHON": "mine:1"}).base_images == ("mine:1",)


def test_an_unknown_target_is_refused_with_those_there_are():
    with pytest.raises(TestbedError, match=r"'cpu'.*'build', 'gpu', 'sim'"):
        dockerfile.target(DOCKERFILE, "cpu", {})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("operator/a.py", False),
        ("operator/deep/__pycache__/a.pyc", True),
        ("docs/a.md", True),
        ("operator/x.egg-info/PKG-INFO", True),
    ],
)
def test_dockerignore_excludes_all_but_what_is_let_in(path, expected):
    assert dockerfile.ignored(path, ["**", "!operator", "**/__pycache__", "**/*.egg-info"]) is expected


@pytest.fixture
def repository(tmp_path):
    """A checkout with one image that copies one folder."""
    (tmp_path / "operator/code").mkdir(parents=True)
    (tmp_path / "operator/pyproject.toml").write_text('[project]\nversion = "9.9.9"\n')
    (tmp_path / "operator/code/main.py").write_text("print()\n")
    (tmp_path / "operator/Dockerfile").write_text("FROM scratch\nCOPY operator/code /code\n")
    return tmp_path


@pytest.fixture
def builds_made(monkeypatch, tmp_path_factory):
    """Stands for the container engine: counts builds and writes a small archive."""
    made = []

    def build(recipe, archive):
        made.append(recipe.reference)
        archive.write_bytes(b"image")

    monkeypatch.setattr(builders, "build", build)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return made


def test_an_image_is_built_once_while_its_files_stay(repository, builds_made):
    first = images.ensure_image("operator", repository)
    second = images.ensure_image("operator", repository)

    assert first == second
    assert builds_made == ["batchedllm.dev/operator:9.9.9"]


def test_a_changed_file_builds_again_and_an_unrelated_one_does_not(repository, builds_made):
    images.ensure_image("operator", repository)
    (repository / "README.md").write_text("unrelated\n")
    images.ensure_image("operator", repository)
    (repository / "operator/code/main.py").write_text("print(1)\n")
    images.ensure_image("operator", repository)

    assert len(builds_made) == 2


@pytest.fixture
def load(repository, builds_made, tmp_path):
    """Loads the image; returns the archives that were loaded, all times together."""
    loaded = []

    def once(**more):
        images.load(
            "operator", tmp_path / "state", lambda archive, _: loaded.append(archive), **more, repository=repository
        )
        return loaded

    return once


def test_an_image_is_loaded_once_while_it_stays(load):
    load()

    (archive,) = load()

    assert archive.exists()


def test_an_image_that_the_node_has_lost_is_loaded_again(load):
    load(holds=lambda _: False)

    assert len(load(holds=lambda _: False)) == 2


def test_an_image_that_the_node_has_is_not_built_again_when_its_archive_is_gone(load, builds_made):
    (archive,) = load()
    archive.unlink()

    load()

    assert len(builds_made) == 1


def test_whoever_checks_out_with_another_umask_gets_the_same_image(repository, builds_made):
    images.ensure_image("operator", repository)
    for file in (repository / "operator").rglob("*.py"):
        file.chmod(file.stat().st_mode & 0o700)
    images.ensure_image("operator", repository)

    assert len(builds_made) == 1


@pytest.mark.parametrize(
    ("row", "whole"),
    [
        ("example.dev/x:1 application/y sha256:1 complete (8/8) 226.6 MiB/226.6 MiB true", True),
        ("example.dev/x:1 application/y sha256:1 complete (8/8) 226.6 MiB/226.6 MiB false", False),
        ("example.dev/x:1 application/y sha256:1 incomplete (7/8) 100.0 MiB/226.6 MiB false", False),
        ("example.dev/x:12 application/y sha256:1 complete (8/8) 226.6 MiB/226.6 MiB true", False),
    ],
)
def test_an_image_is_whole_when_all_of_it_is_there_and_unpacked(row, whole):
    assert archives.is_whole(f"REF TYPE DIGEST STATUS SIZE UNPACKED\n{row}\n", "example.dev/x:1") is whole


def test_a_source_that_is_missing_is_named(repository):
    with pytest.raises(TestbedError, match="COPY nowhere"):
        dockerfile.context_files(repository, ["nowhere"], "")


def test_an_unknown_image_is_refused_with_those_there_are():
    with pytest.raises(TestbedError, match=r"'engine'.*engine-cpu"):
        images.ensure_image("engine")


RECIPE = Recipe("example.dev/x:1", Path("/r/Dockerfile"), "sim", Path("/r"), (), (("A", "1"),))


def test_buildah_sees_the_machine_by_mounts_only_and_has_its_own_store():
    build, push = builders.buildah_commands(RECIPE, Path("/c/x.tar"), ["/etc/ssl/certs:/etc/ssl/certs:ro"])

    assert "--volume=/etc/ssl/certs:/etc/ssl/certs:ro" in build
    assert "--build-arg=A=1" in build
    assert not any(argument.startswith("--env") for argument in build)
    assert any(argument.startswith("--root=") for argument in build)
    assert push[-1] == "docker-archive:/c/x.tar:example.dev/x:1"


def test_docker_gets_target_arguments_and_the_machines_proxies():
    build, save = builders.docker_commands(RECIPE, Path("/c/x.tar"), {"HTTPS_PROXY": "http://p:1", "HOME": "/root"})

    assert {"--target=sim", "--build-arg=A=1", "--build-arg=HTTPS_PROXY=http://p:1"} <= set(build)
    assert save == ["docker", "save", "--output=/c/x.tar", "example.dev/x:1"]


def test_pips_settings_of_the_machine_reach_the_build(tmp_path):
    bundle = tmp_path / "bundle.crt"
    bundle.touch()

    text = builders.pip_configuration({"PIP_INDEX_URL": "https://mirror/simple", "HOME": "/root"}, bundle)

    assert text == f"[global]\nindex-url = https://mirror/simple\ncert = {bundle}\n"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("docker.io/library/python:3.11-slim-bookworm", True),
        ("python:3.11-slim", True),
        ("docker.io/library/python:3.12-slim", False),
        ("docker.io/vllm/vllm-openai:v0.32.0", False),
    ],
)
def test_only_debians_own_python_stands_in(reference, expected):
    assert base_images.can_stand_in(reference) is expected


def test_a_program_image_is_what_docker_save_would_write():
    archive = tarfile.open(fileobj=io.BytesIO(archives.single_program_image("example.dev/p:1", b"elf")))  # noqa: SIM115
    with archive:
        contents = {entry.name: archive.extractfile(entry).read() for entry in archive.getmembers()}
    manifest = json.loads(contents["manifest.json"])[0]
    config = json.loads(contents[manifest["Config"]])

    assert manifest["RepoTags"] == ["example.dev/p:1"]
    digest = hashlib.sha256(contents[manifest["Layers"][0]]).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]


def test_a_successor_is_the_same_image_under_another_digest_without_its_layers(tmp_path):
    original = tmp_path / "image.tar"
    original.write_bytes(archives.single_program_image("example.dev/engine:1", b"program"))

    def written(label):
        target = archives.write_successor(original, "example.dev/engine:moved", label, tmp_path / f"{label}.tar")
        with tarfile.open(target) as made:
            (named,) = json.load(made.extractfile("index.json"))["manifests"]
            manifest = json.load(made.extractfile("blobs/" + named["digest"].replace(":", "/")))
            config = json.load(made.extractfile("blobs/" + manifest["config"]["digest"].replace(":", "/")))
            return named, manifest, config, made.getnames()

    named, manifest, config, names = written("first")
    with tarfile.open(original) as made:
        layer = made.extractfile("layer.tar").read()

    assert named["annotations"]["io.containerd.image.name"] == "example.dev/engine:moved"
    assert config["config"]["Entrypoint"] == ["/program"]
    assert [(one["digest"], one["size"]) for one in manifest["layers"]] == [
        (f"sha256:{hashlib.sha256(layer).hexdigest()}", len(layer))
    ]
    assert len(names) == 4, "the layout, the index, the config and the manifest"
    assert written("second")[0]["digest"] != named["digest"]


def printing(words):
    return [sys.executable, "-c", f"print({words!r})"]


def test_the_digest_of_a_base_image_becomes_a_build_argument():
    digest = f"sha256:{'a' * 64}"

    assert base_images.digest(printing(digest), "example.com/gpu:1") == digest
    assert ("BASE_DIGEST", digest) in RECIPE.on(digest).arguments


@pytest.mark.parametrize("words", ["a stand-in", "", "sha256:abc"])
def test_a_digest_that_cannot_be_looked_up_is_said_and_left_out(words, capsys):
    assert base_images.digest(printing(words), "example.com/gpu:1") == ""
    assert "the digest of example.com/gpu:1 cannot be looked up" in capsys.readouterr().err
    assert RECIPE.on("") == RECIPE


def test_a_registry_that_does_not_answer_is_quoted(capsys):
    command = [sys.executable, "-c", "raise SystemExit('dial tcp: no route to host')"]

    assert base_images.digest(command, "example.com/gpu:1") == ""
    assert "no route to host" in capsys.readouterr().err


def test_the_bill_of_materials_is_made_for_every_image_and_is_in_no_layer_of_the_tool():
    for name in images.PROJECT:
        recipe, _ = images._recipe(images.PROJECT[name], Path(__file__).parents[3])
        final = dockerfile.stages(recipe.dockerfile.read_text(), {})
        target = next((one for one in final if one.name == recipe.target), final[-1])
        labels = next(line for line in target.instructions if line.startswith("LABEL"))
        assert 'dev.batchedllm.sbom="/usr/share/sbom/image.cdx.json"' in labels, name
        assert recipe.arguments == (("VERSION", images.project_version()),)
        assert not any("/opt/sbom" in line for line in target.instructions), name
