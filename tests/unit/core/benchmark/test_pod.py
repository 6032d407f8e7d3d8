"""The pod that measures: a replica's GPUs and settings, and nothing by which it could be taken for one."""

from batchedllm.api import names
from batchedllm.api.resource import parse
from batchedllm.core.benchmark.pod import Subject, benchmark_key, benchmark_pod
from batchedllm.core.manifests.identity import Owner
from batchedllm.core.manifests.pod_template import pod_spec
from samples import resource

OWNER = Owner("llama", "team", "uid-1")


def pod(spec=None, chosen=None):
    asked = parse(resource(spec or {}))
    served = asked.model_copy(update={"batching": asked.batching.model_copy(update=chosen or {})})
    return benchmark_pod(Subject(OWNER, asked, served, "engine:1", ""))


def engine_arguments(made):
    arguments = made["spec"]["containers"][0]["args"]
    return arguments[arguments.index("--") + 1 :]


def test_it_has_the_gpus_nodes_and_security_of_a_replica():
    spec = {"gpu": {"perReplica": 2, "product": "NVIDIA-H200"}, "pod": {"nodeSelector": {"zone": "a"}}}
    made, replica = pod(spec), pod_spec(OWNER, parse(resource(spec)), "engine:1")

    assert made["spec"]["containers"][0]["resources"] == replica["containers"][0]["resources"]
    assert made["spec"]["nodeSelector"] == replica["nodeSelector"]
    assert made["spec"]["tolerations"] == replica["tolerations"]
    assert made["spec"]["securityContext"] == replica["securityContext"]


def test_no_service_deployment_or_budget_takes_it_for_a_replica():
    made = pod()

    assert names.LABEL_NAME not in made["metadata"]["labels"]
    assert made["metadata"]["labels"][names.LABEL_BENCHMARKS] == "llama"
    assert not {"readinessProbe", "startupProbe", "livenessProbe", "ports"} & set(made["spec"]["containers"][0])


def test_it_ends_by_itself_and_by_the_kubelet():
    made = pod({"tuning": {"benchmarkSeconds": 100}, "rollout": {"startupSeconds": 500}})

    assert made["spec"]["restartPolicy"] == "Never"
    assert made["spec"]["activeDeadlineSeconds"] == 1800 + 500 + 100 + 60
    assert "--budget-seconds=100" in made["spec"]["containers"][0]["args"]


def test_the_engine_is_the_replicas_without_what_concerns_clients():
    spec = {
        "priority": {"classes": [{"name": "high", "rank": 0, "default": True}]},
        "batching": {"maxNumSeqs": 40},
        "admission": {"maxQueuedRequests": 9},
    }
    arguments = engine_arguments(pod(spec))

    assert "--max-num-seqs=40" in arguments
    assert not any(one.startswith(("--middleware", "--host", "--port", "--max-num-queued")) for one in arguments)


def test_where_the_goal_chooses_the_batch_a_wider_one_is_measured():
    """Else the knee could never be found above what was chosen without it."""
    made = pod({"batching": {"goal": "latency"}}, {"max_num_seqs": 32, "max_num_batched_tokens": 2048})

    assert "--max-num-seqs=512" in engine_arguments(made)


def test_the_latency_limit_is_the_users():
    assert "--inter-token-limit-ms=50" in pod({"slo": {"interTokenLatency": "50ms"}})["spec"]["containers"][0]["args"]


def test_the_key_is_that_of_what_the_user_asked_for():
    spec, other = parse(resource({"batching": {"goal": "latency"}})), parse(resource({"batching": {"maxNumSeqs": 2}}))

    assert benchmark_key(spec, "engine:1") != benchmark_key(other, "engine:1")
    assert benchmark_key(spec, "engine:1") != benchmark_key(spec, "engine:2")
