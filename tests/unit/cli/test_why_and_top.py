"""`batchedllm why` and `batchedllm top`, from what `kubectl get -o yaml` gives."""

import io

import pytest
import yaml

from batchedllm.cli.main import main

STATUS = {
    "observedGeneration": 3,
    "readyReplicas": 2,
    "wantedReplicas": 4,
    "load": {"reportingReplicas": 2, "queueDepth": 40, "running": 64, "tokensPerSecond": 900},
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Serving", "message": "2 replicas answer requests"},
        {"type": "ScalingLimited", "status": "True", "reason": "AtMaxReplicas", "message": "at maxReplicas (4)"},
    ],
    "failures": [{"pod": "llama-x", "reason": "Unschedulable", "message": "0/3 nodes are available"}],
    "decisions": [
        {
            "at": "2026-01-02T03:04:05Z",
            "from": 2,
            "to": 4,
            "winner": "queueDepth",
            "reason": "2 → 4: 40 requests wait",
            "candidates": [
                {"signal": "queueDepth", "replicas": 10, "reason": "40 waiting / 4 per replica"},
                {"signal": "gpuUtilization", "reason": "not reported"},
            ],
            "limitedBy": ["maxReplicas"],
        },
        {"at": "2026-01-02T03:00:00Z", "from": 2, "to": 2, "winner": "hold", "reason": "stays at 2: unknown"},
    ],
}


def resource(name="llama", status=STATUS, namespace="models"):
    metadata = {"name": name, "namespace": namespace, "generation": 3}
    return {"kind": "BatchedLLM", "metadata": metadata, **({"status": status} if status else {})}


@pytest.fixture
def answer(monkeypatch, capsys):
    """Run a command on resources given at standard input; return what it prints."""

    def run(resources, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump_all(resources)))
        status = main([*arguments, "-f", "-"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_why_tells_state_failures_and_each_decision_with_what_led_to_it(answer):
    status, text, _ = answer([resource()], "why", "llama", "-n", "models")

    assert status == 0
    assert "models/llama: 2 of 4 replicas ready" in text
    assert "ScalingLimited=True (AtMaxReplicas): at maxReplicas (4)" in text
    assert "failing: llama-x (Unschedulable): 0/3 nodes are available" in text
    assert "2026-01-02T03:04:05Z  by queueDepth: 2 → 4: 40 requests wait" in text
    assert "queueDepth: 10 (40 waiting / 4 per replica)" in text
    assert "gpuUtilization: no opinion (not reported)" in text
    assert "limited by maxReplicas" in text
    assert "2026-01-02T03:00:00Z  by hold: stays at 2: unknown" in text


def test_why_tells_what_is_recommended(answer):
    advice = {"kind": "GpuUnderused", "message": "run fewer", "since": "2026-01-02T03:00:00Z"}

    _, text, _ = answer([resource(status={**STATUS, "recommendations": [advice]})], "why")

    assert "recommended since 2026-01-02T03:00:00Z (GpuUnderused): run fewer" in text


def spec_of(**scaling):
    return {"model": {"id": "m"}, "scaling": {"maxReplicas": 4, **scaling}}


def expecting(answer, number, *, limited_by=(), status=STATUS, **scaling):
    newest, *older = status["decisions"]
    status = {**status, "decisions": [{**newest, "limitedBy": list(limited_by)}, *older]}
    _, text, _ = answer([resource(status=status) | {"spec": spec_of(**scaling)}], "why", "--expected", str(number))
    return text[text.index(" expected") - 2 :].strip().splitlines()


def test_why_not_more_names_the_bound_the_signals_and_the_limits(answer):
    assert expecting(answer, 12, limited_by=["maxReplicas", "scaleUp.maxStep"]) == [
        "12 expected, 4 wanted. For 12:",
        "  - scaling.maxReplicas, now 4, has to be at least 12",
        "  - queueDepth asked for 10 (40 waiting / 4 per replica): about 1.2 times of that would ask for 12",
        "  - scaleUp.maxStep: time: scaling.scaleUp allows so many replicas per period, more follow",
    ]


def test_why_not_more_says_when_a_signal_asks_for_enough_and_only_a_limit_is_in_the_way(answer):
    lines = expecting(answer, 6, maxReplicas=9, limited_by=["unschedulableReplicas"])

    assert lines[1:] == [
        "  - queueDepth asked for 10 already (40 waiting / 4 per replica)",
        "  - unschedulableReplicas: replicas that wait for a node have to get one: see the condition ScalingLimited",
    ]


def test_why_not_fewer_names_what_asks_for_more(answer):
    lines = expecting(answer, 2, minReplicas=3, limited_by=["scaleDown.stabilizationSeconds"])

    assert lines[1:] == [
        "  - scaling.minReplicas, now 3, has to be at most 2",
        "  - queueDepth asked for 10 (40 waiting / 4 per replica): about 0.2 times of that would ask for 2",
        "  - scaleDown.stabilizationSeconds: the lower need has to last for scaling.scaleDown.stabilizationSeconds",
    ]


def test_why_not_names_a_schedule_that_would_not_allow_it(answer):
    office, night = {"name": "office", "minReplicas": 3}, {"name": "night", "maxReplicas": 2}
    lines = expecting(answer, 2, schedules=[office, night])

    assert "  - the schedule office must not hold: it does not allow 2" in lines
    assert "night" not in "".join(lines)


def test_why_not_fewer_leaves_out_signals_that_ask_for_fewer_still(answer):
    assert not [line for line in expecting(answer, 12, status={**STATUS, "wantedReplicas": 13}) if "asked for" in line]


@pytest.mark.parametrize(
    ("mode", "words"),
    [("off", "set it to 3"), ("external", "kubectl scale --replicas=3"), ("recommend", "set scaling.mode: auto")],
)
def test_why_not_says_who_scales_where_it_is_not_the_operator(answer, mode, words):
    assert words in expecting(answer, 3, mode=mode)[1]


def test_the_number_that_is_wanted_is_called_so(answer):
    assert expecting(answer, 4) == ["4 expected: that is what is wanted; 2 of them are ready"]


def test_nothing_is_made_up_where_nothing_was_decided(answer):
    _, text, _ = answer([resource(status=None)], "why", "--expected", "4")
    assert "4 expected: no number has been decided yet" in text
    bare = {key: value for key, value in STATUS.items() if key != "decisions"}
    _, text, _ = answer([resource(status=bare)], "why", "--expected", "3")
    assert "no decision is recorded that would tell what the signals ask for" in text


@pytest.mark.parametrize(("number", "words"), [(0, "it has to ask for 0"), (5, "about 0.5 times of that")])
def test_a_signal_is_told_by_how_much_it_would_have_to_change(answer, number, words):
    assert words in "".join(expecting(answer, number, limited_by=[], status={**STATUS, "wantedReplicas": 9}))


def test_three_times_nothing_would_not_ask_for_three(answer):
    """One replica is the fewest, for whatever little there is to do."""
    newest, *older = STATUS["decisions"]
    idle = {"signal": "queueDepth", "replicas": 1, "reason": "0 requests queued"}
    status = {**STATUS, "wantedReplicas": 1, "decisions": [{**newest, "candidates": [idle]}, *older]}

    lines = expecting(answer, 3, status=status)
    assert lines[1:] == ["  - queueDepth asked for 1 (0 requests queued): it has to ask for 3"]


def test_why_says_when_no_operator_has_looked(answer):
    _, text, _ = answer([resource(status=None)], "why")

    assert "no operator has looked at it yet" in text
    assert "no scaling decision has been recorded yet" in text


def test_why_says_when_the_status_speaks_of_an_older_spec(answer):
    _, text, _ = answer([resource(status={**STATUS, "observedGeneration": 2})], "why")

    assert "of an older version of the spec" in text


def test_a_name_that_is_not_there_is_an_error(answer):
    status, text, errors = answer([resource()], "why", "other")

    assert (status, text) == (1, "")
    assert "holds no BatchedLLM other" in errors


def test_top_lists_the_fullest_queue_first_and_shows_the_unknown_as_a_dash(answer):
    idle = resource("idle", {**STATUS, "load": {"reportingReplicas": 1, "queueDepth": 0, "gpuUtilization": 7}})
    fresh = resource("fresh", None)

    _, text, _ = answer([fresh, idle, resource()], "top")

    lines = [line.split() for line in text.splitlines()]
    assert lines[0][:4] == ["NAMESPACE", "NAME", "READY", "WANTED"]
    assert [line[1] for line in lines[1:]] == ["llama", "idle", "fresh"]
    assert lines[1][2:] == ["2", "4", "40", "64", "-", "-", "900", "Serving"]
    assert lines[3][2:] == ["-"] * 8


def test_top_shows_why_a_model_is_stalled_rather_than_that_it_still_serves(answer):
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "m"}
    conditions = [*STATUS["conditions"], stalled]

    _, text, _ = answer([resource(status={**STATUS, "conditions": conditions})], "top")

    assert text.splitlines()[1].endswith("InvalidSpec")


def test_without_kubectl_the_way_out_is_told(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")

    assert main(["top"]) == 1
    assert "kubectl is not installed" in capsys.readouterr().err


def test_what_kubectl_says_is_passed_on(tmp_path, monkeypatch, capsys):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "asked: $*" >&2; exit 1\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert main(["why", "llama", "-n", "models"]) == 1
    assert "get batchedllms.batchedllm.dev --output=json --namespace=models -- llama" in capsys.readouterr().err


def test_the_cluster_is_read_through_kubectl(tmp_path, monkeypatch, capsys):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho \'{"items": [{"kind": "BatchedLLM", "metadata": {"name": "far"}}]}\'\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert main(["top", "-A"]) == 0
    assert "far" in capsys.readouterr().out
