"""The embedded cluster: a real Kubernetes on this machine, without a container engine."""

import os
import platform
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path

from testbed import (
    archives,
    builds,
    components,
    configuration,
    control_groups,
    leftovers,
    network,
    nodes,
    packages,
    pki,
    processes,
    room,
)
from testbed.cluster import Cluster
from testbed.commands import run, say, succeeds, wait_until
from testbed.components import Binaries
from testbed.definition import ClusterDefinition, Gpus
from testbed.errors import TestbedError
from testbed.locks import exclusive
from testbed.paths import image_store, state_directory

_API_SECONDS = 60
_NODE_SECONDS = 60
_IMPORT_SECONDS = 1200


class EmbeddedCluster:
    """One cluster, by its definition. Each method takes up whatever state the machine is in."""

    kind = "embedded"

    def __init__(self, index: int = 0) -> None:
        self.definition = ClusterDefinition(index, state_directory(index), image_store(index))
        loaded = self.definition.image_store / "loaded"
        kubeconfig, node = self.definition.kubeconfig, self.definition.node
        self.cluster = Cluster(kubeconfig, self.load_archive, loaded, node, self.holds)

    def up(self, gpus: Gpus) -> Cluster:
        """Bring the cluster to a Ready node; start, repair or leave alone what that takes.

        Raises TestbedError with the log that tells more.
        """
        definition = self.definition
        _check_host()
        if words := room.shortage_for(definition.image_store):
            say(f"testbed: {words}")
        packages.ensure(packages.NODE)
        binaries = Binaries(builds.build(builds.KUBERNETES), builds.build(builds.CONTAINERD))
        with self._locked():
            begin = time.monotonic()
            if not self._can_be_repaired():
                self._sweep()
                self._lay_out()
            started = self._start(binaries)
            nodes.dress(self.cluster, definition.node, gpus)
            what = f"started {', '.join(started)}" if started else "nothing to do"
            say(f"testbed: {definition.node} is Ready after {time.monotonic() - begin:.1f} s ({what})")
        return self.cluster

    def down(self, *, images: bool = False) -> None:
        """End the cluster and remove everything of it, whoever started it and however it ended.

        The node's image store is a cache and stays, unless `images` says that it goes too.
        """
        if os.geteuid() != 0:
            raise TestbedError("the embedded cluster needs root: run it with sudo")
        with self._locked():
            begin = time.monotonic()
            self._sweep()
            if images:
                shutil.rmtree(self.definition.image_store, ignore_errors=True)
            say(f"testbed: cluster {self.definition.index} is gone after {time.monotonic() - begin:.1f} s")

    def load_archive(self, archive: Path, reference: str) -> None:
        """Import an image archive into the node's image store."""
        if not self.definition.containerd_socket.exists():
            raise TestbedError(f"cluster {self.definition.index} does not run: `python -m testbed up` first")
        begin = time.monotonic()
        run([*self._ctr(), "images", "import", str(archive)], timeout_seconds=_IMPORT_SECONDS)
        if not self.holds(reference):
            raise TestbedError(f"{archive} was imported but holds no whole image {reference}")
        os.sync()  # the note that it is there must not outlive the image, should the machine stop
        say(f"testbed: {reference} loaded in {time.monotonic() - begin:.1f} s")

    def holds(self, reference: str) -> bool:
        """Tell whether the node's image store has an image whole: all of its content, and unpacked."""
        return archives.is_whole(run([*self._ctr(), "images", "check", f"name=={reference}"]), reference)

    def status(self) -> dict[str, object]:
        """Return what runs, as data for a table or JSON."""
        definition = self.definition
        names = sorted(path.stem for path in definition.state.glob("*.pid"))
        running = {name: processes.process_number(definition, name) for name in names}
        return {
            "provider": self.kind,
            "index": definition.index,
            "kubeconfig": str(definition.kubeconfig) if definition.kubeconfig.exists() else None,
            "server": definition.server,
            "state": str(definition.state),
            "processes": {
                name: {"pid": number, "log": str(processes.log_file(definition, name))}
                for name, number in running.items()
            },
            "nodes": nodes.summary(self.cluster) if running.get("kube-apiserver") else [],
        }

    def _locked(self) -> AbstractContextManager[None]:
        lock = self.definition.state.with_suffix(".lock")
        return exclusive(lock, f"cluster {self.definition.index}")

    def _ctr(self) -> list[str]:
        ctr = builds.build(builds.CONTAINERD) / "ctr"
        return [str(ctr), "--address", str(self.definition.containerd_socket), "--namespace", "k8s.io"]

    def _can_be_repaired(self) -> bool:
        """Tell whether enough is left to start just what is missing; otherwise the cluster is made anew."""
        definition = self.definition
        alive = control_groups.members(definition.name)
        return bool(alive) and network.exists(definition) and definition.kubeconfig.exists()

    def _sweep(self) -> None:
        definition = self.definition
        control_groups.kill_members(definition.name)
        leftovers.remove_files(definition)
        network.remove(definition)
        control_groups.remove(definition.name)

    def _lay_out(self) -> None:
        definition = self.definition
        other = network.foreign_route(run(["ip", "-j", "route"]), definition)
        if other:
            raise TestbedError(f"addresses of cluster {definition.index} are taken by the route {other}: use --index")
        definition.logs.mkdir(parents=True)
        control_groups.create(definition.name)
        network.create(definition)
        pki.write(definition)
        state = definition.state
        (state / "cni").mkdir()
        (state / "cni/10-pods.conflist").write_text(configuration.pod_network(definition))
        (state / "containerd.toml").write_text(configuration.containerd(definition, packages.network_plugins()))
        (state / "kubelet.yaml").write_text(configuration.kubelet(definition))
        (state / "resolv.conf").write_text("# no name server\n")

    def _start(self, binaries: Binaries) -> list[str]:
        definition = self.definition
        started = [name for build in components.CONTROL_PLANE if (name := self._start_one(build, binaries))]
        self._wait_for_containerd()
        if "containerd" in started:
            self._import_pause_image()
        if len(started) == len(components.CONTROL_PLANE) and self._forget_containers():
            # containerd read the records before they went.
            processes.stop(definition, "containerd")
            self._start_one(components.containerd, binaries)
            self._wait_for_containerd()
        self._wait_for_api()
        started += [name for build in components.AFTER_THE_API if (name := self._start_one(build, binaries))]
        wait_until(
            lambda: nodes.is_ready(self.cluster, definition.node),
            f"{definition.node} is Ready",
            timeout_seconds=_NODE_SECONDS,
            log=processes.log_file(definition, "kubelet"),
            failed=lambda: processes.ended(definition, "kubelet"),
            interval_seconds=0.2,
        )
        return started

    def _start_one(self, build: components.Builder, binaries: Binaries) -> str:
        component = build(self.definition, binaries)
        search_path = (binaries.containerd,)
        return component.name if processes.start(self.definition, component, search_path=search_path) else ""

    def _wait_for_containerd(self) -> None:
        wait_until(
            lambda: succeeds([*self._ctr(), "version"]),
            "containerd answers",
            timeout_seconds=30,
            log=processes.log_file(self.definition, "containerd"),
            failed=lambda: processes.ended(self.definition, "containerd"),
        )

    def _forget_containers(self) -> bool:
        """Drop the store's records of containers that ended with an earlier cluster; tell if there were any."""
        found = False
        for kind, remove in (("containers", ["delete"]), ("sandboxes", ["remove", "--force"])):
            listed = run([*self._ctr(), kind, "ls"]).splitlines()[1:]
            names = [line.split()[0] for line in listed if line.strip()]
            if names:
                run([*self._ctr(), kind, *remove, *names])
                found = True
        return found

    def _import_pause_image(self) -> None:
        target = self.definition.state / "pause.tar"
        archives.write_program_image(configuration.PAUSE_IMAGE, builds.build(builds.PAUSE) / "pause", target)
        run([*self._ctr(), "images", "import", str(target)])
        target.unlink()

    def _wait_for_api(self) -> None:
        wait_until(
            self.cluster.answers,
            "the API server is ready",
            timeout_seconds=_API_SECONDS,
            log=processes.log_file(self.definition, "kube-apiserver"),
            failed=lambda: processes.ended(self.definition, "kube-apiserver"),
            interval_seconds=0.2,
        )


def _check_host() -> None:
    if platform.system() != "Linux":
        raise TestbedError(f"the embedded cluster needs Linux, this is {platform.system()}: install Docker and kind")
    if os.geteuid() != 0:
        raise TestbedError("the embedded cluster needs root: run it with sudo, or install Docker and kind")
