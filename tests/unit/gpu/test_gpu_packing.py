"""What a bare GPU host lacks travels in parts, and arrives whole."""

import io
import json
import tarfile
import zipfile

import pytest

from gpu import host_programs, image, models, parts, traffic, wheels
from gpu.parts import Joined, PartsError


def joined(folder, **options):
    return io.BufferedReader(Joined(folder, options.pop("wait_seconds", 0), **options)).read()


@pytest.mark.parametrize(("text", "size"), [("55M", 55_000_000), ("700K", 700_000), ("1G", 10**9), ("12", 12)])
def test_a_size_is_a_number_with_a_unit(text, size):
    assert parts.size_of(text) == size


@pytest.mark.parametrize("text", ["", "0M", "55MB", "-1", "many"])
def test_another_size_is_refused_with_an_example(text):
    with pytest.raises(PartsError, match="such as 55M"):
        parts.size_of(text)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 1000])
def test_what_was_split_is_joined_again_and_no_part_is_too_large(tmp_path, length):
    content = bytes(index % 251 for index in range(length))

    written = parts.split(io.BytesIO(content), tmp_path, 100)

    assert all(one.stat().st_size <= 100 for one in written)
    assert len(written) == -(-length // 100)
    assert joined(tmp_path) == content


def test_parts_of_an_earlier_pack_do_not_stay_beside_new_ones(tmp_path):
    parts.split(io.BytesIO(b"x" * 300), tmp_path, 100)

    parts.split(io.BytesIO(b"y" * 50), tmp_path, 100)

    assert joined(tmp_path) == b"y" * 50


def test_a_part_that_still_travels_is_waited_for(tmp_path):
    first, second = parts.split(io.BytesIO(b"a" * 100 + b"b" * 100), tmp_path, 100)
    away = second.rename(tmp_path / "away")
    waits = []

    def arrives(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            away.rename(second)

    found = joined(tmp_path, wait_seconds=10, clock=lambda: len(waits) * 0.2, sleep=arrives)

    assert found == b"a" * 100 + b"b" * 100
    assert first.exists()


def test_a_part_that_never_comes_is_named(tmp_path):
    _, second = parts.split(io.BytesIO(b"a" * 200), tmp_path, 100)
    second.unlink()
    now = iter(range(100))

    with pytest.raises(PartsError, match="part-02-of-02 is not there"):
        joined(tmp_path, wait_seconds=5, clock=lambda: next(now), sleep=lambda _: None)


def test_the_wheels_are_those_of_the_hosts_python_and_complete_by_themselves(tmp_path):
    command = wheels.fetch_command(["pip"], tmp_path)

    assert "--no-deps" in command
    assert "--python-version=3.12" in command
    assert any(one.startswith("--platform=manylinux_2_28") for one in command)
    listed = [line for line in wheels.LIST.read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in line for line in listed), "each is pinned"
    assert {"vllm==0.26.0", "apache-tvm-ffi==0.1.10"} <= set(listed)


def test_a_wheels_files_are_put_where_an_installation_puts_them(tmp_path):
    wheel = tmp_path / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some/__init__.py", "")
        archive.writestr("some-1.0.data/platlib/some/native.so", "code")
        archive.writestr("some-1.0.data/scripts/some", "#!python")
        archive.writestr("some-1.0.dist-info/METADATA", "Name: some")

    wheels.unpack([wheel], tmp_path / "site")

    found = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert found == {"some/__init__.py", "some/native.so", "some-1.0.dist-info/METADATA", "bin/vllm"}


def test_programs_bring_their_libraries_but_the_hosts_c_library_stays():
    ldd = """\
        linux-vdso.so.1 (0x00007ffd)
        libmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f)
        libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)
        libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)
        /lib64/ld-linux-x86-64.so.2 (0x00007f)
"""
    assert host_programs.libraries(ldd) == {"libmnl.so.0": "/lib/x86_64-linux-gnu/libmnl.so.0"}


def test_only_what_the_host_lacks_is_taken_from_the_pack():
    assert host_programs.missing({"runc": False, "ip": True, "nft": True}) == ["runc", "nsenter", "sysctl", "openssl"]


def test_the_engines_image_holds_links_and_a_user_and_no_program():
    with tarfile.open(fileobj=io.BytesIO(image.archive())) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))
        config = json.load(outer.extractfile(manifest["Config"]))
        layer = io.BytesIO(outer.extractfile(manifest["Layers"][0]).read())
    with tarfile.open(fileobj=layer) as files:
        names = {one.name: one for one in files}

    assert manifest["RepoTags"] == [image.REFERENCE]
    assert config["config"]["Entrypoint"] == ["python3", "-m", "batchedllm_engine", "serve"]
    assert names["lib64"].linkname == "usr/lib64"
    assert [name for name, one in names.items() if one.isfile()] == ["etc/passwd", "etc/group"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    models.write(folder)
    return folder


@pytest.mark.parametrize("name", models.SHAPES)
def test_a_shape_names_the_engines_class_and_keeps_the_public_models_numbers(name, shapes):
    document = json.loads((shapes / name / "config.json").read_text())
    original = json.loads((models.ROOT / f"tests/data/model_configs/{name}.json").read_text())

    assert document["architectures"][0].endswith("ForCausalLM")
    assert {key: document[key] for key in original if key != "rope_scaling"} == {
        key: value for key, value in original.items() if key != "rope_scaling"
    }
    known = json.loads((shapes / name / "tokenizer.json").read_text())["model"]["vocab"]
    assert sorted(known.values()) == list(range(document["vocab_size"])), "whatever it answers is text"
    assert traffic.TOKENS[1] <= document["vocab_size"]
    assert (shapes / name).stat().st_mode & 0o005 == 0o005, "pods run as somebody else"
