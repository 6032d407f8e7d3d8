"""What is said of a pod that does not work."""

from datetime import timedelta

import pytest

from batchedllm.api.conditions import Reason
from batchedllm.core.pod_failures import is_old_news, pod_failure, wants_log
from samples import NOW, pod

SECONDS = timedelta(seconds=1)
CONTAINER_CREATING = {"state": {"waiting": {"reason": "ContainerCreating"}}}


def at(seconds):
    """A time of the API, so many seconds before now."""
    return (NOW.wall - seconds * SECONDS).strftime("%Y-%m-%dT%H:%M:%SZ")


def ended(message="", *, code=1, reason="Error", restarts=2, ran=5, **state):
    """State of a container that ended and is waiting to be started again."""
    terminated = {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": at(ran + 1),
        "finishedAt": at(1),
    }
    return {
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
        "lastState": {"terminated": terminated},
        **state,
    }


def waiting(reason, message=""):
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def warning(reason, message, name="llama-1", seen=10):
    about = {"kind": "Pod", "name": name}
    return {"type": "Warning", "reason": reason, "message": message, "involvedObject": about, "lastTimestamp": at(seen)}


def judged(state, *warnings, log="", **status):
    one = pod("llama-1", ready=False, state=state, **status)
    one["spec"]["containers"][0] |= {
        "resources": {"limits": {"memory": "16Gi"}},
        "startupProbe": {"periodSeconds": 2, "failureThreshold": 30},
        "readinessProbe": {"httpGet": {"path": "/health"}},
    }
    return pod_failure(one, NOW.wall, warnings, {"llama-1": log})


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        pytest.param(waiting("ErrImagePull", "manifest unknown"), Reason.IMAGE_PULL, "manifest unknown", id="image"),
        pytest.param(waiting("InvalidImageName"), Reason.IMAGE_PULL, "InvalidImageName", id="image name"),
        pytest.param(
            waiting("CreateContainerConfigError", 'secret "hf" not found'),
            Reason.CONFIGURATION,
            'secret "hf" not found',
            id="missing secret",
        ),
        pytest.param(
            ended(code=137, reason="OOMKilled"), Reason.OUT_OF_HOST_MEMORY, "its limit of 16Gi", id="out of memory"
        ),
        pytest.param(
            ended("ValueError: No available memory for the cache blocks."),
            Reason.KV_CACHE_TOO_SMALL,
            "gpuUtilization",
            id="known cause",
        ),
        pytest.param(
            ended("KeyError: 'x'"), Reason.CRASHED, "exit code 1 (2 times started again): KeyError", id="crash"
        ),
        pytest.param(ended("", restarts=1), Reason.CRASHED, "(once started again) and said nothing", id="silent crash"),
        pytest.param(ended("", code=0), Reason.CRASHED, "exit code 0", id="an engine never ends by itself"),
        pytest.param(ended(code=137, ran=60), Reason.NOT_ANSWERING, "rollout.startupSeconds", id="too slow"),
        pytest.param(ended(code=137, ran=20), Reason.CRASHED, "exit code 137", id="killed early"),
    ],
)
def test_a_failed_engine_is_told_with_its_reason_and_what_to_do(state, reason, words):
    failure = judged(state)

    assert failure is not None
    assert (failure.pod, failure.reason) == ("llama-1", reason)
    assert words in failure.message


def test_what_the_registry_said_holds_over_a_mere_back_off():
    """The kubelet's state alternates between the two, and the status must not."""
    event = warning("Failed", 'Failed to pull image "x": 401 Unauthorized')

    first = judged(waiting("ErrImagePull", "long words of the runtime"), event)
    then = judged(waiting("ImagePullBackOff", "Back-off pulling image"), event)

    assert first == then
    assert "401 Unauthorized" in first.message


def test_a_secret_that_is_not_there_is_told_by_the_kubelets_warning():
    """The pod's own status says no more than ContainerCreating."""
    older = warning("FailedMount", "MountVolume.SetUp failed: timed out", seen=60)
    newest = warning("FailedMount", 'MountVolume.SetUp failed for volume "hugging-face-token": secret "hf" not found')

    failure = judged(CONTAINER_CREATING, newest, older)

    assert failure.reason is Reason.CONFIGURATION
    assert 'secret "hf" not found' in failure.message


def test_a_warning_about_another_pod_or_of_the_past_does_not_count():
    assert judged(CONTAINER_CREATING, warning("FailedMount", "x", name="llama-2")) is None
    assert judged({"state": {"running": {}}}, warning("FailedMount", "x")) is None


def test_the_log_tells_what_the_end_of_it_does_not():
    """vLLM's parent process prints a traceback longer than the 2 KiB that the pod's status holds."""
    end = "RuntimeError: Engine core initialization failed. See root cause above."
    log = f"ValueError: ... the estimated maximum model length is 384. Try ...\n{end}"

    assert judged(ended(end)).reason is Reason.CRASHED
    assert judged(ended(end), log=log).reason is Reason.KV_CACHE_TOO_SMALL


def test_an_engine_that_is_started_again_is_still_told_to_have_crashed():
    """Else the condition would come and go with every restart."""
    running = ended("KeyError: 'x'", state={"running": {}})

    assert judged(running) == judged(ended("KeyError: 'x'"))


def test_an_engine_that_stopped_answering_is_told_apart_from_a_crash():
    event = warning("Unhealthy", "Liveness probe failed: context deadline exceeded")

    failure = judged(ended(code=137, ran=3000), event)

    assert failure.reason is Reason.NOT_ANSWERING
    assert "stopped answering /health" in failure.message


@pytest.mark.parametrize(("seconds", "is_told"), [(10, False), (31, True)])
def test_a_started_engine_that_is_not_ready_for_long_does_not_answer(seconds, is_told):
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": at(seconds)}

    failure = judged({"state": {"running": {}}, "started": True}, conditions=[condition])

    assert (failure is not None) is is_told
    assert not is_told or failure.reason is Reason.NOT_ANSWERING


@pytest.mark.parametrize(("seconds", "is_told"), [(50, False), (89, False), (91, True)])
def test_an_engine_that_took_long_to_start_is_given_its_time_to_become_ready(seconds, is_told):
    """Since when it is not ready is since it was made: a start of a minute must not look like a minute of silence."""
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": at(seconds + 2)}
    running = {"state": {"running": {"startedAt": at(seconds)}}, "started": True}

    failure = judged(running, conditions=[condition])

    assert (failure is not None) is is_told


def test_the_scheduler_is_quoted():
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}

    failure = judged({}, conditions=[condition])

    assert failure.reason is Reason.UNSCHEDULABLE
    assert "0/3 nodes: no GPU" in failure.message


@pytest.mark.parametrize(("why", "reason"), [("Evicted", Reason.EVICTED), ("UnexpectedAdmissionError", Reason.CRASHED)])
def test_a_pod_that_its_node_gave_up_is_told(why, reason):
    failure = judged({}, phase="Failed", reason=why, message="low on memory")

    assert failure.reason is reason
    assert "low on memory" in failure.message


def test_a_container_that_others_put_beside_the_engine_may_be_what_fails():
    statuses = [{"name": "mesh", **waiting("ErrImagePull", "gone")}, {"name": "engine", "state": {"running": {}}}]

    assert "container mesh" in judged({}, containerStatuses=statuses).message


def test_an_init_container_that_is_done_has_not_failed():
    done = {"name": "init", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}

    assert judged({"state": {"running": {}}}, initContainerStatuses=[done]) is None


@pytest.mark.parametrize("state", [CONTAINER_CREATING, {"state": {"running": {}}}, {}])
def test_a_pod_that_is_starting_does_not_fail(state):
    assert judged(state) is None


def test_a_pod_that_is_ready_or_being_deleted_does_not_fail_whatever_was():
    gone = pod("llama-1", ready=False, state=ended("x"))
    gone["metadata"]["deletionTimestamp"] = at(1)

    assert pod_failure(gone, NOW.wall) is None
    assert pod_failure(pod("llama-1", state=ended("x")), NOW.wall) is None


def test_a_pod_of_which_the_kubelet_has_said_nothing_does_not_fail():
    bare = {"metadata": {"name": "llama-1"}, "spec": {"containers": []}}

    assert pod_failure(bare, NOW.wall) is None


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (pod("a", ready=False, state=ended("RuntimeError: See root cause above.")), True),
        (pod("a", ready=False, state=ended("No available memory for the cache blocks")), False),
        (pod("a", ready=False, state=ended(reason="OOMKilled")), False),
        (pod("a", ready=False, state={"state": {"running": {}}}), False),
        (pod("a", ready=True, state=ended("x")), False),
    ],
)
def test_a_log_is_only_read_where_the_status_does_not_tell(one, wanted):
    assert wants_log(one) is wanted


@pytest.mark.parametrize(("seconds", "expected"), [(60, False), (700, True)])
def test_an_evicted_pod_is_news_for_ten_minutes(seconds, expected):
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": at(seconds)}

    assert is_old_news(pod("a", ready=False, phase="Failed", conditions=[condition]), NOW.wall) is expected
    assert is_old_news(pod("a", ready=False, conditions=[condition]), NOW.wall) is False


def checked(reason, code, words="do this"):
    return ended(f"preflight: {reason}: {words}", code=code)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (10, "GatedModel"),
        (11, "NoSuchModel"),
        (12, "NoSuchRevision"),
        (13, "NoNetwork"),
        (20, "NoGpu"),
        (21, "OldDriver"),
        (22, "OldGpu"),
        (23, "TooFewGpus"),
        (24, "TooLittleGpuMemory"),
        (25, "TooLittleSharedMemory"),
        (26, "NoToken"),
        (27, "NoWeights"),
    ],
)
def test_what_the_image_found_before_vllm_is_told_by_its_own_reason_and_words(code, reason):
    found = judged(checked(reason, code, "set gpu.perReplica"))

    assert (found.reason, found.message) == (reason, "the start was checked before vLLM: set gpu.perReplica")


def test_the_words_may_be_in_the_log_where_the_termination_message_could_not_be_written():
    found = judged(ended("", code=23), log="INFO x\nERROR 07-01 [main] preflight: TooFewGpus: 4 GPUs are needed\n")

    assert (found.reason, found.message) == ("TooFewGpus", "the start was checked before vLLM: 4 GPUs are needed")


@pytest.mark.parametrize(
    "state", [ended("Segmentation fault", code=20), checked("NoGpu", 1), checked("NoGpu", 21)], ids=str
)
def test_an_exit_code_alone_or_words_alone_are_no_finding_of_the_image(state):
    assert judged(state).reason == "Crashed"


def test_what_was_found_before_vllm_needs_no_log():
    assert not wants_log(pod("llama-1", ready=False, state=checked("NoToken", 26)))


def test_a_token_that_slipped_into_the_words_is_blotted_out():
    assert "hf_abcdefghijkl" not in judged(checked("GatedModel", 10, "token hf_abcdefghijkl refused")).message
