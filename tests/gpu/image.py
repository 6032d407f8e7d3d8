"""The engine's image of the harness: links and a user, no program; everything that runs is mounted from the host."""

import hashlib
import io
import json
import tarfile

REFERENCE = "batchedllm.dev/engine:0.26.0-host"
USER_ID = 10001
_LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
_FOLDERS = ("usr", "opt", "etc", "proc", "sys", "dev", "tmp", "var", "run", "home", "home/engine", "batchedllm")
_FILES = {
    "etc/passwd": f"root:x:0:0::/:/usr/sbin/nologin\nengine:x:{USER_ID}:{USER_ID}::/home/engine:/usr/sbin/nologin\n",
    "etc/group": f"root:x:0:\nengine:x:{USER_ID}:\n",
}
ENTRY_POINT = ("python3", "-m", "batchedllm_engine", "serve")
"""That of the project's own engine images."""


def _layer() -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, target in _LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, text in _FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return layer.getvalue()


def archive(reference: str = REFERENCE) -> bytes:
    """Return the image as `docker save` would write it. Containers find programs on the PATH that the overlay sets."""
    layer = _layer()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": list(ENTRY_POINT), "User": f"{USER_ID}:{USER_ID}", "WorkingDir": "/home/engine"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "tests/gpu"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as outer:
        for name, content in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            outer.addfile(entry, io.BytesIO(content))
    return image.getvalue()
