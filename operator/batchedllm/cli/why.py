"""`batchedllm why`: what state a model is in, and the last scaling decisions with all that led to them."""

import argparse
from collections.abc import Iterator
from typing import Any

from batchedllm.cli.selection import add_selection, selected
from batchedllm.cli.why_expected import what_would_change

Json = dict[str, Any]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `why`."""
    parser = commands.add_parser(
        "why",
        help="explain the state of a model and its last scaling decisions",
        description="Explain from a BatchedLLM's status: its conditions, failed pods, and the last scaling decisions, "
        "each with what every signal asked for and the limits that changed the outcome.",
    )
    parser.add_argument("name", nargs="?", help="name of the BatchedLLM (may be left out with -f)")
    parser.add_argument("--expected", type=int, metavar="N", help="say what would have to change for N replicas")
    add_selection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the explanation of each resource that is meant."""
    print("\n\n".join("\n".join(_answer(one, options.expected)) for one in selected(options, options.name)))
    return 0


def _answer(resource: Json, expected: int | None) -> Iterator[str]:
    yield from explanation(resource)
    if expected is not None:
        yield from what_would_change(resource, expected)


def explanation(resource: Json) -> Iterator[str]:
    """Yield the lines that explain one resource."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    yield f"{metadata.get('namespace', 'default')}/{metadata['name']}: {_headline(resource, status)}"
    for condition in status.get("conditions", ()):
        yield f"  {condition['type']}={condition['status']} ({condition['reason']}): {condition['message']}"
    for failure in status.get("failures", ()):
        yield f"  failing: {failure['pod']} ({failure['reason']}): {failure['message']}"
    for one in status.get("recommendations", ()):
        yield f"  recommended since {one['since']} ({one['kind']}): {one['message']}"
    decisions = status.get("decisions", ())
    yield "decisions, newest first:" if decisions else "no scaling decision has been recorded yet"
    for decision in decisions:
        yield from _decision(decision)


def _headline(resource: Json, status: Json) -> str:
    if not status:
        return "no operator has looked at it yet; is one running, and does it watch this namespace?"
    generation = resource["metadata"].get("generation")
    behind = "" if status.get("observedGeneration") == generation else ", of an older version of the spec"
    ready, wanted = status.get("readyReplicas", 0), status.get("wantedReplicas", "?")
    return f"{ready} of {wanted} replicas ready{behind}"


def _decision(decision: Json) -> Iterator[str]:
    """Yield one decision: the outcome, what each signal asked for, and what held it."""
    yield f"  {decision['at']}  by {decision['winner']}: {decision['reason']}"
    for candidate in decision.get("candidates", ()):
        asked = candidate.get("replicas", "no opinion")
        yield f"      {candidate['signal']}: {asked} ({candidate['reason']})"
    if decision.get("limitedBy"):
        yield f"      limited by {', '.join(decision['limitedBy'])}"
