"""The testbed's command line."""

import argparse
import json
import os
import sys
from pathlib import Path

from testbed import builds, images, kwok, nodes, registry, tools
from testbed.cluster import Cluster
from testbed.commands import say
from testbed.definition import Gpus
from testbed.errors import TestbedError
from testbed.providers import Provider, choose, given_index


def parser() -> argparse.ArgumentParser:
    """Return the commands and their options."""
    top = argparse.ArgumentParser(prog="python -m testbed", description="A real Kubernetes for tests.")
    top.add_argument("--index", type=int, default=given_index(),
                     help="which of eight clusters, side by side (default 0, or TESTBED_INDEX)")  # fmt: skip
    commands = top.add_subparsers(dest="command", required=True)

    up = commands.add_parser("up", help="start or repair the cluster and dress its node as a GPU node")
    _add_gpus(up, Gpus())
    down = commands.add_parser("down", help="remove the cluster and all that it left, also after a crash")
    down.add_argument("--images", action="store_true", help="the node's cached images too")
    status = commands.add_parser("status", help="show what runs")
    status.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("kubeconfig", help="print the kubeconfig's path")
    commands.add_parser("build", help="build and fetch the cluster's programs without starting anything")

    image = commands.add_parser("build-image", help="build project images into the cache")
    image.add_argument("images", nargs="+", choices=sorted(images.PROJECT), metavar="IMAGE",
                       help=", ".join(sorted(images.PROJECT)))  # fmt: skip
    push = commands.add_parser("push", help="build project images if needed and copy them to a registry")
    push.add_argument("images", nargs="+", choices=sorted(images.PROJECT), metavar="IMAGE")
    push.add_argument("--registry", required=True, help="host and path, such as registry.example.com/batchedllm")
    push.add_argument("--plain-http", action="store_true", help="the registry speaks HTTP or has no known certificate")
    load = commands.add_parser("load-image", help="build project images if needed and bring them to the nodes")
    load.add_argument("images", nargs="+", metavar="IMAGE", help="a project image, or an archive's path")
    load.add_argument("--reference", default="", help="the image that an archive holds")

    fake = commands.add_parser("nodes", help="add fake nodes (KWOK), whose pods only seem to run")
    fake.add_argument("--fake", type=int, required=True, help="how many there are to be")
    fake.add_argument("--no-taint", action="store_true", help="let any pod land on them")
    fake.add_argument("--metrics", type=Path, help="answer GET /metrics of every fake pod with this file")
    fake.add_argument("--metrics-port", type=int, default=8000, help="on this port (default 8000)")
    _add_gpus(fake, Gpus())
    return top


def _add_gpus(command: argparse.ArgumentParser, default: Gpus) -> None:
    command.add_argument("--gpus", type=int, default=default.count, help=f"GPUs per node ({default.count})")
    command.add_argument("--gpu-product", default=default.product, help=f"label ({default.product})")
    command.add_argument("--gpu-memory", type=int, default=default.memory_mebibytes, metavar="MIB",
                         help=f"label ({default.memory_mebibytes})")  # fmt: skip


def _gpus(options: argparse.Namespace) -> Gpus:
    return Gpus(options.gpus, options.gpu_product, options.gpu_memory)


def _up(provider: Provider, options: argparse.Namespace) -> None:
    cluster = provider.up(_gpus(options))
    say(f"testbed: export KUBECONFIG={cluster.kubeconfig}")
    say(f"testbed: kubectl and helm are in {tools.kubectl().parent}")
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        say("testbed: a proxy is set; the cluster is on this machine: export NO_PROXY=198.18.0.0/15,$NO_PROXY")


def _down(provider: Provider, options: argparse.Namespace) -> None:
    provider.down(images=options.images)


def _status(provider: Provider, options: argparse.Namespace) -> None:
    status = provider.status()
    print(json.dumps(status, indent=2) if options.json else nodes.table(status))


def _kubeconfig(provider: Provider, _: argparse.Namespace) -> None:
    print(str(provider.cluster.kubeconfig))


def _build(_provider: Provider, _: argparse.Namespace) -> None:
    for module in (builds.KUBERNETES, builds.CONTAINERD, builds.PAUSE):
        print(str(builds.build(module)))
    print(str(tools.kubectl().parent))


def _build_image(_: Provider, options: argparse.Namespace) -> None:
    for name in options.images:
        print(str(images.ensure_image(name).archive))


def _push(_: Provider, options: argparse.Namespace) -> None:
    for name in options.images:
        registry.destination("/", options.registry)
        print(registry.push(images.ensure_image(name), options.registry, plain_http=options.plain_http), flush=True)


def _load_image(provider: Provider, options: argparse.Namespace) -> None:
    for name in options.images:
        if name in images.PROJECT:
            provider.cluster.load_image(name)
        elif options.reference:
            provider.load_archive(Path(name).resolve(), options.reference)
        else:
            raise TestbedError(f"{name!r} is no project image ({', '.join(sorted(images.PROJECT))}): "
                               "for an archive say --reference NAME:TAG too")  # fmt: skip


def _nodes(provider: Provider, options: argparse.Namespace) -> None:
    cluster: Cluster = provider.cluster
    kwok.set_fake_nodes(provider, cluster, options.fake, _gpus(options), tainted=not options.no_taint)
    if options.metrics is not None:
        kwok.answer_for_fake_pods(provider, options.metrics.resolve(), options.metrics_port)


_COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
    "build": _build,
    "build-image": _build_image,
    "push": _push,
    "load-image": _load_image,
    "nodes": _nodes,
}


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        _COMMANDS[options.command](choose(options.index, os.environ), options)
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
