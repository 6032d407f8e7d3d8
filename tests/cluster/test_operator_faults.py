"""The operator under faults: killed half-way, doubled, cut off, misled; and quiet when there is nothing to do."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cluster.conftest import Models, StartOperator, eventually
from cluster.faulty_api import FaultyApi

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

QUIET_SECONDS = 20.0
WRITES_TO_CONVERGE = 7
"""First status, four children, status, Event."""


def comparable(models: Models, name: str) -> dict[str, Any]:
    """The children's labels and specs, without the addresses that differ from run to run."""

    def spec(child: dict[str, Any]) -> dict[str, Any]:
        ephemeral = {"clusterIP", "clusterIPs"}
        return {key: value for key, value in child.get("spec", {}).items() if key not in ephemeral}

    return {
        kind: {
            "labels": child["metadata"]["labels"],
            "spec": spec(child),
        }
        for kind, child in models.children(name).items()
    }


def anonymous(models: Models, name: str) -> str:
    """The same as text, without the name, and without the hashes that the name goes into."""
    text = json.dumps(comparable(models, name), sort_keys=True).replace(name, "NAME")
    return re.sub(r'"[0-9a-f]{16}"', '"HASH"', text)


def test_killed_after_any_write_the_end_state_is_the_same(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """kill -9 right after the n-th write, for every n: the next process ends where an undisturbed one does."""
    reference = start_operator("--leader-election", "false")
    models.apply("undisturbed")
    models.wait_for_children("undisturbed")
    eventually(lambda: models.condition("undisturbed", "ScalingLimited"))
    assert reference.terminate() == 0
    wanted = anonymous(models, "undisturbed")
    kubeconfig = faulty_api.kubeconfig(tmp_path / "faulty")

    for at_write in range(1, WRITES_TO_CONVERGE + 1):
        name = f"killed-{at_write}"
        victim = start_operator("--leader-election", "false", kubeconfig=kubeconfig)
        eventually(victim.is_watching)
        kill_at = len(faulty_api.writes) + at_write
        faulty_api.on_write = lambda count, victim=victim, at=kill_at: victim.process.kill() if count == at else None
        models.apply(name)
        assert victim.process.wait(30) == -signal.SIGKILL
        faulty_api.on_write = None
        heir = start_operator("--leader-election", "false")
        eventually(heir.is_watching)  # after the last write there is nothing left that would tell of it
        models.wait_for_children(name)
        eventually(lambda name=name: models.condition(name, "ScalingLimited"))

        assert anonymous(models, name) == wanted, f"killed after write {at_write}"
        assert heir.terminate() == 0


def test_two_operators_one_writer_and_a_takeover_in_time(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """Only the holder writes. Killed, its standby leads within the lease's 15 s + one retry; on SIGTERM within 5 s."""
    first = start_operator()
    first.wait_until_leading()
    second = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    eventually(lambda: second.says("waiting for lease"))
    models.apply("opt")
    models.wait_for_children("opt")
    assert faulty_api.writes == []
    assert second.endpoint("/readyz") == "ok\n"

    first.kill()
    killed_at = time.monotonic()
    second.wait_until_leading(seconds=20)
    after_kill = time.monotonic() - killed_at

    third = start_operator()
    eventually(lambda: third.says("waiting for lease"))
    terminated_at = time.monotonic()
    assert second.terminate() == 0
    third.wait_until_leading(seconds=10)
    after_term = time.monotonic() - terminated_at
    models.kubectl("delete", "service", "opt")
    eventually(lambda: "Service" in models.children("opt"))
    print(f"takeover {after_kill:.1f} s after SIGKILL, {after_term:.1f} s after SIGTERM")
    assert after_kill <= 17.5
    assert after_term <= 5


def test_who_is_told_to_end_gives_the_lease_up_however_slowly_it_is_answered(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """Giving up takes longer than the time between two renewals: none comes in between, and the exit code is 0."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.wait_until_leading()

    def slowly(request: web.Request) -> None:
        if "/leases/" in request.path and one.says("^stopping"):
            time.sleep(3)  # the API server is slow

    faulty_api.answer_instead = slowly

    assert one.terminate() == 0
    assert one.says("^released lease")
    assert not (models.get("lease", "batchedllm-operator") or {})["spec"].get("holderIdentity")


def test_who_loses_the_lease_ends_without_another_write(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """When somebody takes the lease, the old holder exits with 1 and has written nothing since."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.expected += ["the operator ends", "took the lease"]
    one.wait_until_leading()
    models.apply("opt")
    models.wait_for_children("opt")

    thief = '{"spec":{"holderIdentity":"thief","renewTime":"2030-01-01T00:00:00.000000Z"}}'
    models.kubectl("patch", "lease", "batchedllm-operator", "--type=merge", "--patch", thief)

    assert one.process.wait(15) == 1
    assert one.says("took the lease")


def test_a_frozen_leader_does_not_write_when_it_wakes(start_operator: StartOperator, models: Models) -> None:
    """A process stopped for longer than its lease finds itself replaced: it ends and undoes nothing."""
    frozen = start_operator()
    frozen.expected += ["the operator ends", "lease", "event loop was blocked", "does not hold"]
    frozen.expected += ["TimeoutError"]  # of the request that was on its way when the process was stopped
    frozen.wait_until_leading()
    heir = start_operator()
    eventually(lambda: heir.says("waiting for lease"))
    models.apply("opt")
    models.wait_for_children("opt")

    frozen.process.send_signal(signal.SIGSTOP)
    heir.wait_until_leading()
    models.apply("opt", batching={"maxNumSeqs": 16})
    eventually(lambda: models.get("batchedllm", "opt")["status"]["observedGeneration"] == 2)
    wanted = comparable(models, "opt")
    frozen.process.send_signal(signal.SIGCONT)

    assert frozen.process.wait(20) == 1
    assert comparable(models, "opt") == wanted


def test_at_rest_nothing_is_written(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """After convergence there are no writes; the only reads are those of the resyncs."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.wait_until_leading()
    models.apply("opt", scaling={"maxReplicas": 3, "mode": "off"}, replicas=0)
    models.wait_for_children("opt")
    eventually(lambda: models.condition("opt", "Ready").get("reason") not in (None, "Pending"))

    def settled() -> bool:
        before = len(faulty_api.writes)
        time.sleep(3)
        return len(faulty_api.writes) == before

    eventually(settled, what="three seconds without a write")
    writes, reads = len(faulty_api.writes), sum(faulty_api.reads.values())
    time.sleep(QUIET_SECONDS)  # the time without a write is what is measured

    assert faulty_api.writes[writes:] == []
    lists = 8  # one per watched kind
    corrections = 1  # of the memory plan, once a minute
    assert sum(faulty_api.reads.values()) - reads <= lists * (QUIET_SECONDS / 5 + 1) + corrections


def test_an_outage_of_the_api_server_heals(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """20 s without an API server: the process ends or waits, and a restarted one repairs what happened meanwhile.

    A leader that cannot renew its lease must end; the kubelet (here: the test) starts it again.
    """
    kubeconfig = faulty_api.kubeconfig(tmp_path / "faulty")
    one = start_operator(kubeconfig=kubeconfig)
    one.expected += [""]  # an outage is loud
    one.wait_until_leading()
    models.apply("opt")
    models.wait_for_children("opt")

    faulty_api.cut()
    models.kubectl("delete", "service", "opt")
    assert one.process.wait(20) == 1
    restarted = start_operator(kubeconfig=kubeconfig)
    restarted.expected += [""]
    time.sleep(8)  # the rest of the outage
    assert restarted.process.poll() is None
    faulty_api.mend()
    mended_at = time.monotonic()

    eventually(lambda: "Service" in models.children("opt"))
    print(f"healed {time.monotonic() - mended_at:.1f} s after the API server's return")


def test_a_short_outage_is_survived(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """Five seconds without an API server cost no restart, and a deletion that no watch told of is repaired."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.expected += [""]
    one.wait_until_leading()
    models.apply("opt")
    models.wait_for_children("opt")

    faulty_api.cut()
    models.kubectl("delete", "service", "opt")
    time.sleep(5)  # the outage
    faulty_api.mend()

    eventually(lambda: "Service" in models.children("opt"))
    assert one.process.poll() is None


def test_what_a_silent_watch_misses_is_found_by_the_resync(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """A watch that is open and says nothing: full lists repair the drift, and /healthz tells that the watch is dead."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.expected += [""]
    one.wait_until_leading()
    models.apply("opt")
    models.wait_for_children("opt")

    faulty_api.silence_watches()
    for _ in range(5):
        models.kubectl("delete", "service", "opt")
        eventually(lambda: "Service" in models.children("opt"))

    assert one.says("a resync found changes")
    assert "the watch is dead" in one.health()


def test_retry_after_is_obeyed(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """429 with Retry-After: no repetition before that time, then the work goes on."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.expected += ["429"]
    one.wait_until_leading()
    refused: list[float] = []

    def overloaded(request: web.Request) -> web.Response | None:
        if request.method != "PATCH" or (refused and time.monotonic() - refused[0] > 4):
            return None
        refused.append(time.monotonic())
        return web.json_response({"message": "too many requests"}, status=429, headers={"Retry-After": "5"})

    faulty_api.answer_instead = overloaded
    models.apply("opt")

    models.wait_for_children("opt")
    assert len(refused) == 1, "it asked again before the time was over"


def test_a_spec_that_an_older_schema_let_in_stalls_and_touches_nothing(
    start_operator: StartOperator, models: Models, faulty_api: FaultyApi, tmp_path: Path
) -> None:
    """A stored spec that the operator cannot read: Stalled says which field, the children stay as they were."""
    one = start_operator(kubeconfig=faulty_api.kubeconfig(tmp_path / "faulty"))
    one.expected += ["InvalidSpec"]
    one.wait_until_leading()
    models.apply("opt", batching={"maxNumSeqs": 64})
    models.wait_for_children("opt")
    before = comparable(models, "opt")

    faulty_api.rewrite = lambda body: body.replace(b'"maxNumSeqs":63', b'"maxNumSeqs":-1')
    models.apply("opt", batching={"maxNumSeqs": 63})

    eventually(lambda: "maxNumSeqs" in models.condition("opt", "Stalled").get("message", ""))
    assert models.condition("opt", "Stalled")["reason"] == "InvalidSpec"
    assert comparable(models, "opt") == before
    faulty_api.rewrite = None
    models.apply("opt", batching={"maxNumSeqs": 32})
    eventually(lambda: not models.condition("opt", "Stalled"))
