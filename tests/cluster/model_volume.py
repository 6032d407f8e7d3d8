"""Models in a folder of this machine that pods see as a volume."""

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from cluster.conftest import Models


def volume(models: "Models", folder: Path) -> None:
    """A claim whose volume is a folder of this machine."""
    name = models.namespace
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    size = {"storage": "1Gi"}
    objects = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {**common, "capacity": size, "hostPath": {"path": str(folder)}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {**common, "resources": {"requests": size}, "volumeName": name},
        },
    ]
    models.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def put(folder: Path, name: str, config: str | None = None) -> None:
    """A model of this name, readable for the pods whatever the umask is here."""
    made = folder / name
    made.mkdir()
    made.chmod(0o755)
    if config is not None:
        (made / "config.json").write_text(config)
        (made / "config.json").chmod(0o644)
