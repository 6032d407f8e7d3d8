"""Container image archives made without a container engine: one layer, written as `docker save` would."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Final

_OCI: Final = "application/vnd.oci.image."


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))


def single_program_image(reference: str, program: bytes) -> bytes:
    """Return the archive of an image that holds one static program and runs it as an unprivileged user."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        _add(archive, "program", program, 0o755)
    content = layer.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/program"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
            "history": [{"created_by": "testbed"}],
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as archive:
        _add(archive, "config.json", config)
        _add(archive, "layer.tar", content)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    return image.getvalue()


def write_program_image(reference: str, program: Path, target: Path) -> Path:
    """Write such an archive to a file and return it."""
    target.write_bytes(single_program_image(reference, program.read_bytes()))
    return target


def write_successor(archive: Path, reference: str, label: str, target: Path) -> Path:
    """Write an image that differs from that of `archive` by a label, so that it has another digest; return `target`.

    It holds no layers: the store that imports it must have them, from the image of `archive`.
    """
    with tarfile.open(archive) as source:
        saved = json.loads(_content(source, "manifest.json"))[0]
        config = json.loads(_content(source, saved["Config"]))
        sizes = [_size(source, name) for name in saved["Layers"]]
    config["config"].setdefault("Labels", {})
    config["config"]["Labels"] = {**(config["config"]["Labels"] or {}), "dev.batchedllm.successor": label}
    layers = [
        {"mediaType": _OCI + "layer.v1.tar", "digest": digest, "size": size}
        for digest, size in zip(config["rootfs"]["diff_ids"], sizes, strict=True)
    ]
    content = json.dumps(config).encode()
    about_config = _described(content, "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": _OCI + "manifest.v1+json", "config": about_config, "layers": layers}
    told = json.dumps(manifest).encode()
    named = {**_described(told, "manifest.v1+json"), "annotations": {"io.containerd.image.name": reference}}
    with tarfile.open(target, mode="w") as made:
        _add(made, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(made, "index.json", json.dumps({"schemaVersion": 2, "manifests": [named]}).encode())
        for blob in (content, told):
            _add(made, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
    return target


def _described(content: bytes, kind: str) -> dict[str, object]:
    """Return OCI's descriptor of a blob."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": _OCI + kind, "digest": digest, "size": len(content)}


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file of the archive")
    return file.read()


def _size(archive: tarfile.TarFile, name: str) -> int:
    return archive.getmember(name).size


def is_whole(listing: str, reference: str) -> bool:
    """Tell from the table of `ctr images check` whether an image is complete and unpacked."""
    rows = [line.split() for line in listing.splitlines()]
    return any(row[:1] == [reference] and "complete" in row and row[-1] == "true" for row in rows)
