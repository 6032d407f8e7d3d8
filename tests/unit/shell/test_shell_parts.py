"""The small parts of the shell: errors, ownership, Events, health, logs, names."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchedllm import handlers
from batchedllm.api.conditions import Reason
from batchedllm.core.crash_log import known_cause
from batchedllm.core.reconcile_types import Notice
from batchedllm.core.scaling.types import Decision, SignalCandidate
from batchedllm.shell import health, kinds
from batchedllm.shell.api_errors import ConflictError, NotFoundError, RefusedError, UnavailableError, error_of
from batchedllm.shell.gather import LOG_BYTES, LOG_LINES, needs_warnings
from batchedllm.shell.intake import Intake
from batchedllm.shell.key import Key
from batchedllm.shell.logs import JsonFormatter, TextFormatter
from batchedllm.shell.notices import BURST, REFILL_SECONDS, REPEAT_SECONDS, Bucket, event
from batchedllm.shell.ownership import stranger
from batchedllm.shell.recollection import LogTail, Recollection, run_of
from batchedllm.shell.scraping import targets_of
from batchedllm.shell.store import Store
from batchedllm.shell.telemetry import Telemetry
from batchedllm.shell.work_queue import WorkQueue

RESOURCE = {
    "apiVersion": "batchedllm.dev/v1alpha1",
    "kind": "BatchedLLM",
    "metadata": {"namespace": "ns", "name": "opt", "uid": "u1", "resourceVersion": "1", "generation": 1},
}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RefusedError),
        (403, RefusedError),
        (422, RefusedError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, ConflictError),
        (412, ConflictError),
        (401, UnavailableError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
def test_each_status_becomes_the_error_that_says_what_to_do(code, kind):
    error = error_of(code, b'{"kind":"Status","message":"because"}', {}, "apply /x")

    assert type(error) is kind
    assert error.code == code
    assert "because" in error.message


def test_retry_after_is_read_in_seconds_and_a_body_without_json_is_quoted():
    error = error_of(429, b"slow down", {"Retry-After": "7"}, "get /x")

    assert isinstance(error, UnavailableError)
    assert error.retry_after_seconds == 7
    assert "slow down" in error.message


@pytest.mark.parametrize(
    ("metadata", "is_ours"),
    [
        ({}, False),
        ({"ownerReferences": [{"uid": "u2"}]}, False),
        ({"ownerReferences": [{"uid": "u1"}]}, True),
        ({"labels": {"app.kubernetes.io/managed-by": "batchedllm"}}, True),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, False),
        ({"managedFields": [{"manager": "kubectl"}, {"manager": "batchedllm"}]}, True),
    ],
)
def test_one_sign_of_ours_is_enough_to_take_an_object_back(metadata, is_ours):
    reason = stranger({"kind": "Service", "metadata": {"name": "opt", **metadata}}, RESOURCE)

    assert (reason is None) == is_ours


def test_the_same_event_is_not_repeated_and_all_are_bounded():
    bucket = Bucket(0.0)
    notice = Notice("Warning", "ImagePull", "no such image")

    assert bucket.admits(notice, 0.0)
    assert not bucket.admits(notice, REPEAT_SECONDS - 1)
    assert bucket.admits(notice, REPEAT_SECONDS)
    many = [Bucket(0.0).admits(notice, 0.0)]
    flood = Bucket(0.0)
    many = [flood.admits(Notice("Normal", "Scaled", str(number)), 1.0) for number in range(100)]
    assert sum(many) == BURST
    assert flood.admits(Notice("Normal", "Scaled", "later"), 1.0 + REFILL_SECONDS)


def test_a_warning_that_comes_with_every_look_is_logged_once_and_what_is_done_each_time():
    bucket = Bucket(0.0)
    evicted, scaled = Notice("Warning", "Evicted", "a: disk pressure"), Notice("Normal", "Scaled", "1 → 2: a queue")

    assert [bucket.is_logged(evicted, at) for at in (0.0, 0.0, 2.0, REPEAT_SECONDS - 1)] == [True, False, False, False]
    assert bucket.is_logged(Notice("Warning", "Evicted", "b: disk pressure"), 2.0)
    assert bucket.is_logged(evicted, REPEAT_SECONDS)
    assert not bucket.is_logged(evicted, REPEAT_SECONDS + 1)
    assert all(bucket.is_logged(scaled, at) for at in (0.0, 1.0, 2.0))


def test_an_event_names_the_resource_and_fits():
    made = event(RESOURCE, Notice("Normal", "Scaled", "x" * 5000), "me", datetime(2026, 1, 1, tzinfo=UTC))

    assert made["involvedObject"]["uid"] == "u1"
    assert len(made["message"]) <= 1024
    assert made["metadata"]["namespace"] == "ns"


def test_paths_are_those_of_the_api_server():
    assert kinds.POD.path("ns", "p", "log") == "/api/v1/namespaces/ns/pods/p/log"
    assert kinds.DEPLOYMENT.path(None) == "/apis/apps/v1/deployments"
    assert kinds.RESOURCE.path("ns", "opt", "status") == (
        "/apis/batchedllm.dev/v1alpha1/namespaces/ns/batchedllms/opt/status"
    )
    assert kinds.SERVICE.path("ns", "a/../b").endswith("a%2F..%2Fb")


def test_an_unknown_kind_is_told_with_the_known_ones():
    with pytest.raises(KeyError, match="v1 Secret is none of the kinds"):
        kinds.named("v1", "Secret")


def test_the_operator_handles_no_secrets():
    assert not any(kind.kind == "Secret" for kind in (*kinds.WATCHED, kinds.EVENT, kinds.LEASE))


def test_a_json_log_line_has_the_key_and_no_token():
    record = logging.LogRecord("batchedllm", logging.INFO, "", 0, "sent Bearer abcdefghijklmnop", None, None)
    record.key = "ns/opt"

    line = json.loads(JsonFormatter().format(record))

    assert (line["namespace"], line["name"], line["level"]) == ("ns", "opt", "info")
    assert "abcdefghijklmnop" not in line["message"]
    assert "ns/opt: sent" in TextFormatter().format(record)


def test_huggingface_tokens_are_blotted_out():
    record = logging.LogRecord("batchedllm", logging.INFO, "", 0, "token hf_ABCDEFGHIJKLMNOP1234", None, None)

    assert "ABCDEFGHIJKLMNOP" not in JsonFormatter().format(record)


def test_health_tells_what_is_wrong():
    waited = 0.0
    missed = 0
    checks = (health.queue_moves(lambda: waited), health.watch_speaks(lambda: missed))
    report = health.Health(checks)

    assert report.failures() == []
    waited, missed = health.QUEUE_STUCK_SECONDS + 1, health.SILENT_RESYNCS
    first, second = report.failures()
    assert "waited for a worker" in first
    assert "the watch is dead" in second


def test_a_new_spec_ends_the_backoff_and_a_new_status_does_not(in_fake_time):
    async def scenario():
        queue: WorkQueue[Key] = WorkQueue()
        intake = Intake(Store(), queue, Telemetry())
        intake.take("ADDED", RESOURCE)
        key = await queue.get()
        queue.failed(key, at_least_seconds=60)
        queue.done(key)
        metadata = {**RESOURCE["metadata"], "resourceVersion": "2"}
        intake.take("MODIFIED", {**RESOURCE, "metadata": metadata})
        after_status = queue.length
        intake.take("MODIFIED", {**RESOURCE, "metadata": {**metadata, "resourceVersion": "3", "generation": 2}})
        return after_status, queue.length

    assert in_fake_time(scenario()) == (0, 1)


def test_only_running_pods_that_stay_are_scraped():
    def pod(name, phase="Running", address="198.18.0.9", **metadata):
        return {"metadata": {"namespace": "ns", "name": name, **metadata}, "status": {"phase": phase, "podIP": address}}

    pods = [pod("a"), pod("b", phase="Pending"), pod("c", address=None), pod("d", deletionTimestamp="now")]

    assert [target.pod for target in targets_of(pods)] == ["a"]


def test_warnings_are_asked_for_only_when_something_is_not_well():
    ready = {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    waiting = {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    short = {"kind": "Deployment", "metadata": {}, "status": {"unavailableReplicas": 1}}

    assert not needs_warnings([], [ready])
    assert needs_warnings([], [ready, waiting])
    assert needs_warnings([short], [ready])


def test_last_words_belong_to_one_run_of_one_pod():
    pod = {"metadata": {"uid": "p1"}, "status": {"containerStatuses": [{"name": "engine", "restartCount": 2}]}}
    known = Recollection(log_tails={"p": LogTail("p1/1", "boom"), "q": LogTail("q1/0", "bang")})

    assert run_of(pod, "engine") == "p1/2"
    assert set(known.without_pods_but({"p"}).log_tails) == {"p"}


def test_refusals_of_an_older_spec_say_nothing():
    known = Recollection(refusals=("something",), generation=1)  # type: ignore[arg-type]

    assert known.refusals_of(1) == ("something",)
    assert known.refusals_of(2) == ()


def test_metrics_tell_decisions_calls_and_leave_with_their_model():
    telemetry = Telemetry()
    key = Key("ns", "opt")
    asked = (SignalCandidate("queueDepth", 5, "long"), SignalCandidate("gpuUtilization", None, "off"))
    spent = {"spent_replica_hours": 30.5}
    telemetry.decided(key, Decision(1, 2, "queueDepth", "more", asked, ("scaleUp.maxStep",), **spent))
    telemetry.called("apply", "Deployment", 200)
    telemetry.called("apply", "Deployment", 503)
    telemetry.sized(key, {"spec": {"replicas": 3}, "status": {"readyReplicas": 1}})
    telemetry.observe_scrapes(lambda: {"ns/opt": 1.5})
    text = telemetry.exposition().decode()

    assert 'batchedllm_operator_scaling_decisions_total{winner="queueDepth"} 1.0' in text
    assert 'batchedllm_operator_scaling_limits_total{limit="scaleUp.maxStep"} 1.0' in text
    assert 'batchedllm_operator_recommended_replicas{name="opt",namespace="ns"} 2.0' in text
    assert 'batchedllm_operator_candidate_replicas{name="opt",namespace="ns",signal="queueDepth"} 5.0' in text
    assert 'batchedllm_operator_budget_spent_replica_hours{name="opt",namespace="ns"} 30.5' in text
    assert 'signal="gpuUtilization"' not in text, "a signal without a say has no series"
    assert 'batchedllm_operator_writes_total{kind="Deployment",verb="apply"} 1.0' in text
    assert 'batchedllm_operator_wanted_replicas{name="opt",namespace="ns"} 3.0' in text
    assert 'batchedllm_operator_scrape_age_seconds{name="opt",namespace="ns"} 1.5' in text
    telemetry.forget(key)
    telemetry.observe_scrapes(dict)
    assert 'name="opt"' not in telemetry.exposition().decode()


def test_without_a_budget_nothing_is_said_to_be_spent():
    telemetry, key = Telemetry(), Key("ns", "opt")
    telemetry.decided(key, Decision(1, 1, "hold", "more", (), (), spent_replica_hours=30.5))
    telemetry.decided(key, Decision(1, 1, "hold", "more", (), ()))

    assert "budget_spent_replica_hours{" not in telemetry.exposition().decode()


def test_the_series_of_a_signal_goes_when_it_has_no_say_any_more():
    telemetry, key = Telemetry(), Key("ns", "opt")
    for replicas in (5, None):
        asked = (SignalCandidate("queueDepth", replicas, "why"),)
        telemetry.decided(key, Decision(2, 2, "hold", "why", asked, ()))

    assert 'signal="queueDepth"' not in telemetry.exposition().decode()


def test_kopf_is_told_to_watch_and_nothing_else():
    """No peering, no scanning, no Events; children by label on the server's side; no decorator that leaves traces."""
    made = handlers.settings()

    assert made.peering.standalone
    assert made.scanning.disabled
    assert not made.posting.enabled
    assert 0 < made.watching.inactivity_timeout <= 75
    assert len(made.watching.label_selectors) == len(kinds.WATCHED) - 1
    registry = handlers.registry(Intake(Store(), WorkQueue(), Telemetry()), login=None)  # type: ignore[arg-type]
    assert registry._changing.get_all_handlers() == []
    assert registry._spawning.get_all_handlers() == []
    assert len(registry._watching.get_all_handlers()) == len(kinds.WATCHED)


def test_the_reason_of_a_real_engines_end_is_within_the_last_words_that_are_read():
    """vLLM 0.26.0 on an H200, asked for 1,100 tokens more than fit: many tracebacks follow the line that matters."""
    log = (Path(__file__).parents[2] / "data/vllm_0_26_kv_cache_too_small.log").read_text()
    tail = "\n".join(log.splitlines()[-LOG_LINES:])

    reason, words = known_cause(tail)

    assert reason is Reason.KV_CACHE_TOO_SMALL
    assert "56496 tokens fit" in words
    assert len(tail) < LOG_BYTES / 2, "there is room for longer paths than this host's"
    assert known_cause("\n".join(log.splitlines()[-60:])) is None, "so many lines were read before, and told nothing"
