"""What the real API server makes of the CRD: good specs lose nothing, bad ones are refused with words that help."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchedllm.api import names
from batchedllm.api.reserved import RESERVED
from batchedllm.api.resource import parse
from testbed.errors import TestbedError
from valid_specs import valid_specs

pytestmark = pytest.mark.cluster

CRD = Path(__file__).parents[2] / "crds" / "batchedllms.yaml"


@pytest.fixture(scope="module", autouse=True)
def _crd(cluster):
    """The CRD of this checkout is installed and stays: other tests need it too."""
    cluster.establish(CRD)


def resource(spec: dict[str, Any], name: str = "model") -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": spec}


def with_field(path: str, value: object) -> dict[str, Any]:
    """The smallest spec with the field at `path` set to `value`."""
    spec: dict[str, Any] = {"model": {"id": "org/model"}}
    here: Any = spec
    *parents, last = path.split(".")
    for part in parents:
        here = here.setdefault(part, {})
    here[last] = value
    return spec


def dry_run(cluster, found: dict[str, Any], validate: str = "strict") -> list[dict[str, Any]]:
    """`found`, or the items of it, as the API server would store them."""
    printed = cluster.kubectl(
        *("create", "-n", "default", "--dry-run=server", f"--validate={validate}", "-o", "json", "-f", "-"),
        stdin=json.dumps(found),
    )
    documents, decoder, at = [], json.JSONDecoder(), 0
    while at < len(printed):
        document, end = decoder.raw_decode(printed, at)
        documents.append(document)
        at = end + len(printed[end:]) - len(printed[end:].lstrip())
    return documents


OFFICE = {"name": "office", "timeZone": "Europe/Berlin", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5"}
REFUSED = [
    pytest.param(
        "model.id", "--help", r'spec\.model\.id: Invalid value: "--help": .*should match', id="id is an argument"
    ),
    pytest.param("gpux", 1, r'unknown field "spec\.gpux"', id="unknown field"),
    pytest.param(
        "scaling.signals.queue", {}, r'unknown field "spec\.scaling\.signals\.queue"', id="deep unknown field"
    ),
    pytest.param("model.id", "", r'spec\.model\.id: Invalid value: "": .*at least 1', id="empty model id"),
    pytest.param("model.id", 5, r"spec\.model\.id: .*must be of type string", id="number as text"),
    pytest.param(
        "model.source",
        {"huggingFace": {"tokenSecretRef": {"name": "hf"}}},
        r"spec\.model\.source\.huggingFace\.tokenSecretRef\.key: Required value",
        id="secret reference without a key",
    ),
    pytest.param(
        "model.source",
        {"huggingFace": {}, "pvc": {"claimName": "a"}},
        r"spec\.model\.source: .*set huggingFace or pvc, not both",
        id="two sources",
    ),
    pytest.param(
        "gpu.memory",
        "80GiB",
        r'spec\.gpu\.memory: Invalid value: "80GiB": must be an amount of memory of at least 1Mi, such as 80Gi',
        id="GPU memory that is no quantity",
    ),
    pytest.param(
        "gpu.memory",
        80,
        r"spec\.gpu\.memory: Invalid value: .*at least 1Mi",
        id="GPU memory in whatever the number was meant as",
    ),
    pytest.param(
        "memory.kvCacheMemory",
        "100m",
        r'spec\.memory\.kvCacheMemory: Invalid value: "100m": must be an amount of memory',
        id="a KV cache of a tenth of a byte",
    ),
    pytest.param(
        "memory.gate",
        "no",
        r'spec\.memory\.gate: Unsupported value: "no": .*"enforce", "warn", "off"',
        id="unknown gate",
    ),
    pytest.param(
        "batching.goal",
        "fast",
        r'spec\.batching\.goal: Unsupported value: "fast": .*"latency", "balanced", "throughput"',
        id="unknown goal",
    ),
    pytest.param(
        "memory.gpuUtilization",
        0,
        r"spec\.memory\.gpuUtilization: Invalid value: 0: .*greater than 0",
        id="utilization 0",
    ),
    pytest.param(
        "memory.gpuUtilization",
        1.01,
        r"spec\.memory\.gpuUtilization: Invalid value: 1\.01: .*less than or equal to 1",
        id="utilization over 1",
    ),
    pytest.param(
        "memory.gpuUtilization",
        "0.9",
        r"spec\.memory\.gpuUtilization: .*must be of type number",
        id="utilization as text",
    ),
    pytest.param(
        "batching.maxModelLen",
        0,
        r"spec\.batching\.maxModelLen: Invalid value: 0: must be a number of tokens greater than 0",
        id="length 0",
    ),
    pytest.param("batching.maxModelLen", -5, r"spec\.batching\.maxModelLen: Invalid value: -5: ", id="negative length"),
    pytest.param(
        "batching.maxModelLen",
        "8k",
        r'spec\.batching\.maxModelLen: Invalid value: "8k": .*or auto',
        id="length is no number",
    ),
    pytest.param(
        "batching.maxNumSeqs", "12", r"spec\.batching\.maxNumSeqs: .*must be of type integer", id="text as number"
    ),
    pytest.param(
        "batching.maxNumSeqs", 1.5, r"spec\.batching\.maxNumSeqs: .*must be of type int", id="fraction of a request"
    ),
    pytest.param(
        "batching",
        {"maxNumSeqs": 10, "maxNumBatchedTokens": 5},
        r"spec\.batching\.maxNumBatchedTokens: .*is 5, must be at least maxNumSeqs \(10\)",
        id="fewer tokens than requests",
    ),
    pytest.param(
        "scaling.minReplicas",
        3,
        r"spec\.scaling\.minReplicas: .*is 3, must be at most maxReplicas \(1\)",
        id="min over max",
    ),
    pytest.param(
        "scaling.minReplicas",
        -1,
        r"spec\.scaling\.minReplicas: Invalid value: -1: .*greater than or equal to 0",
        id="min under 0",
    ),
    pytest.param(
        "scaling.budget",
        {"replicaHoursPerDay": 23},
        r"spec\.scaling\.budget\.replicaHoursPerDay: .*is 23, must be at least 24 times minReplicas \(1\)",
        id="a budget that the fewest replicas exceed",
    ),
    pytest.param(
        "scaling.schedules",
        [{**OFFICE, "start": "8:00"}],
        r"spec\.scaling\.schedules\[0\]\.start: .*at least 9 chars",
        id="a time that is no cron",
    ),
    pytest.param(
        "scaling.schedules",
        [{**OFFICE, "start": "0 0 8 * * 1-5"}],
        r"spec\.scaling\.schedules\[0\]\.start: .*should match",
        id="a cron with seconds",
    ),
    pytest.param(
        "scaling.schedules",
        [OFFICE],
        r"spec\.scaling\.schedules\[0\]: .*needs minReplicas, maxReplicas or both",
        id="a schedule of nothing",
    ),
    pytest.param(
        "scaling.schedules",
        [{**OFFICE, "minReplicas": 3, "maxReplicas": 2}],
        r"spec\.scaling\.schedules\[0\]\.minReplicas: .*is 3, must be at most maxReplicas of the same schedule \(2\)",
        id="min over max in a schedule",
    ),
    pytest.param(
        "scaling.schedules",
        [{**OFFICE, "minReplicas": 3}],
        r"spec\.scaling\.schedules: .*minReplicas must be at most maxReplicas",
        id="min of a schedule over max",
    ),
    pytest.param(
        "scaling.schedules",
        [{**OFFICE, "minReplicas": 1, "end": "0 8 * * 1-5"}],
        r"spec\.scaling\.schedules\[0\]\.end: .*must differ from start",
        id="a schedule without length",
    ),
    pytest.param(
        "scaling.mode", "on", r'spec\.scaling\.mode: Unsupported value: "on": .*"recommend"', id="unknown mode"
    ),
    pytest.param(
        "replicas",
        3,
        r"spec\.replicas: .*is 3, .*only read in the scaling modes external and off, and in auto .* in mode auto",
        id="replicas that nobody reads",
    ),
    pytest.param(
        "priority.classes",
        [{"name": "a", "rank": 0, "default": True}, {"name": "b", "rank": 0, "default": True}],
        r"spec\.priority\.classes: .*only one class can have default: true",
        id="two default classes",
    ),
    pytest.param(
        "priority.classes",
        [{"name": "a", "rank": 1}, {"name": "a", "rank": 2}],
        r'spec\.priority\.classes\[1\]: Duplicate value: .*"a"',
        id="duplicate class",
    ),
    pytest.param(
        "priority.classes",
        [{"name": "a", "rank": 1}, {"name": "b", "rank": 1}],
        r"spec\.priority\.classes: .*rank of its own",
        id="same rank",
    ),
    pytest.param(
        "priority.classes",
        [{"name": "a", "rank": 3, "keyOnly": True, "default": True}],
        r"spec\.priority\.classes\[0\]\.keyOnly: .*must not be set in the default class",
        id="default class for holders of keys",
    ),
    pytest.param(
        "priority.classes",
        [{"name": "a", "rank": 3, "keyOnly": True}, {"name": "b", "rank": 0, "default": True}],
        r"spec\.priority\.classes: .*keyOnly needs admission\.apiKeys",
        id="class for holders of keys without keys",
    ),
    pytest.param(
        "priority.classes",
        [{"name": "a", "rank": 3}],
        r"spec\.priority\.classes: .*one class needs default: true",
        id="no default class",
    ),
    pytest.param(
        "admission",
        {"mode": "engine", "requestTimeoutSeconds": 5},
        r"spec\.admission\.mode: .*only the middleware can hold",
        id="a limit that the engine cannot hold",
    ),
    pytest.param(
        "admission",
        {"maxQueueSeconds": 5},
        r"spec\.admission: .*needs batching\.maxNumSeqs or admission\.maxRunningRequests",
        id="a queue that cannot be left",
    ),
    pytest.param(
        "admission.rateLimit", {}, r"spec\.admission\.rateLimit: .*needs requestsPerMinute", id="rate without a rate"
    ),
    pytest.param(
        "admission.rateLimit",
        {"requestsPerMinute": 0},
        r"spec\.admission\.rateLimit\.requestsPerMinute: .*greater than or equal to 1",
        id="no requests at all",
    ),
    pytest.param(
        "rollout",
        {"maxSurge": 0, "maxUnavailable": 0},
        r"spec\.rollout\.maxUnavailable: .*greater than 0 where maxSurge is 0",
        id="rollout that cannot move",
    ),
    pytest.param("tuning.benchmark", "always", r'spec\.tuning\.benchmark: .*"once", "never"', id="endless benchmark"),
    pytest.param(
        "tuning.benchmarkSeconds", 1, r"benchmarkSeconds: .*greater than or equal to 15", id="no time to measure"
    ),
    pytest.param(
        "engine.sharedMemory",
        "2Gx",
        r'spec\.engine\.sharedMemory: Invalid value: "2Gx": must be a Kubernetes quantity',
        id="bad quantity",
    ),
    pytest.param(
        "engine.sharedMemory",
        "-2Gi",
        r'spec\.engine\.sharedMemory: Invalid value: "-2Gi": .*not negative',
        id="negative quantity",
    ),
    pytest.param(
        "engine.resources",
        {"requests": {"cpu": "many"}},
        r"spec\.engine\.resources\.requests: .*cpu is many, must be a Kubernetes quantity",
        id="bad request",
    ),
    pytest.param(
        "engine.resources",
        {"limits": {"nvidia.com/gpu": 1}},
        r"spec\.engine\.resources\.limits: .*GPUs are spec\.gpu",
        id="GPU as a resource",
    ),
    pytest.param(
        "engine.resources",
        {"requests": {"memory": "3Gi"}, "limits": {"memory": "2Gi"}},
        r"spec\.engine\.resources\.requests: .*memory is 3Gi, must be at most its limit \(2Gi\)",
        id="request over limit",
    ),
    pytest.param(
        "engine.cache",
        {"claimName": "a", "sizeLimit": "1Gi"},
        r"spec\.engine\.cache: .*a claim has its own size",
        id="size of a claim",
    ),
    pytest.param(
        "engine.arguments",
        ["--max-model-len=5"],
        r"engine\.arguments: .*--max-model-len=5 must not be set here\. --max-model-len: use spec\.batching",
        id="owned argument",
    ),
    pytest.param(
        "engine.arguments",
        ["--max_model_len=5"],
        r"spec\.engine\.arguments: .*use spec\.batching\.maxModelLen",
        id="owned argument with underscores",
    ),
    pytest.param(
        "engine.arguments",
        ["--seed=1", "--max-model=5"],
        r"engine\.arguments: .*--max-model=5 must not be set here\. --max-model-len: use spec\.batching",
        id="owned argument abbreviated",
    ),
    pytest.param(
        "engine.arguments",
        ["--device-memory-utilization=0.5"],
        r"spec\.engine\.arguments: .*use spec\.memory\.gpuUtilization",
        id="owned argument by its other name",
    ),
    pytest.param(
        "engine.arguments",
        ["--no-trust-remote-code"],
        r"spec\.engine\.arguments: .*use spec\.model\.trustRemoteCode",
        id="owned argument negated",
    ),
    pytest.param(
        "engine.arguments",
        ["--seed 1"],
        r"spec\.engine\.arguments: .*--seed 1: each must be --name or --name=value",
        id="two arguments in one",
    ),
    pytest.param(
        "engine.arguments", ["-tp=2"], r"spec\.engine\.arguments: .*-tp=2: each must be --name", id="short argument"
    ),
    pytest.param(
        "pod.env",
        [{"name": "HF_TOKEN", "value": "x"}],
        r"spec\.pod\.env\[0\]\.name: .*HF_TOKEN must not be set here, use spec\.model\.source",
        id="owned environment",
    ),
    pytest.param(
        "pod.env",
        [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}],
        r"spec\.pod\.env\[0\]\.name: .*lets clients run code",
        id="dangerous environment",
    ),
    pytest.param(
        "pod.env", [{"name": "A"}], r"spec\.pod\.env\[0\]: .*either value or valueFrom", id="variable without a value"
    ),
    pytest.param(
        "pod.env",
        [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        r'spec\.pod\.env\[1\]: Duplicate value: .*"A"',
        id="variable twice",
    ),
    pytest.param(
        "pod.labels", {"batchedllm.dev/name": "x"}, r"spec\.pod\.labels: .*belong to the operator", id="our label"
    ),
    pytest.param(
        "pod.annotations",
        {"app.kubernetes.io/name": "x"},
        r"spec\.pod\.annotations: .*belong to the operator",
        id="our annotation",
    ),
    pytest.param(
        "pod.nodeSelector",
        {"app.kubernetes.io/managed-by": "x"},
        r"spec\.pod\.nodeSelector: .*belong to the operator",
        id="our node label",
    ),
    pytest.param(
        "pod.nodeSelector",
        {"nvidia.com/gpu.product": "A"},
        r"spec\.pod\.nodeSelector: .*use spec\.gpu\.product",
        id="GPU product as a label",
    ),
    pytest.param("pod.labels", {"two words": "x"}, r"spec\.pod\.labels: .*keys must be names", id="label that is none"),
    pytest.param(
        "pod.labels",
        {"team": "two words"},
        r'spec\.pod\.labels\.team: Invalid value: "two words"',
        id="label value that is none",
    ),
    pytest.param(
        "pod.tolerations",
        [{"operator": "Exists", "value": "x"}],
        r"spec\.pod\.tolerations\[0\]\.value: .*left out where operator is Exists",
        id="toleration with a value too many",
    ),
    pytest.param(
        "pod.tolerations",
        [{"value": "x"}],
        r"spec\.pod\.tolerations\[0\]\.operator: .*Exists where no key",
        id="toleration without a key",
    ),
    pytest.param(
        "pod.tolerations",
        [{"operator": "Exists", "tolerationSeconds": 3}],
        r"spec\.pod\.tolerations\[0\]\.tolerationSeconds: .*only for the effect NoExecute",
        id="toleration with seconds too many",
    ),
    pytest.param(
        "pod.securityContext.runAsUser",
        0,
        r"spec\.pod\.securityContext\.runAsUser: Invalid value: 0: .*greater than or equal to 1",
        id="root",
    ),
    pytest.param(
        "gpu.resource", "gpu", r'spec\.gpu\.resource: Invalid value: "gpu": .*should match', id="no extended resource"
    ),
]


def test_a_default_class_of_another_rank_is_refused_where_the_engine_itself_ranks(cluster):
    spec = with_field("priority.classes", [{"name": "a", "rank": 3, "default": True}])

    with pytest.raises(TestbedError, match=r"spec\.priority\.classes: .*default class must have rank 0"):
        dry_run(cluster, resource({**spec, "admission": {"mode": "engine"}}))

    dry_run(cluster, resource(spec))


def test_several_servers_are_refused_where_each_would_have_limits_of_its_own(cluster):
    spec = with_field("engine.arguments", ["--api_server_count=2"])

    with pytest.raises(TestbedError, match=r"spec\.engine\.arguments: .*limits of its own"):
        dry_run(cluster, resource({**spec, "admission": {"mode": "middleware"}}))

    dry_run(cluster, resource(spec))


@pytest.mark.parametrize(("path", "value", "words"), REFUSED)
def test_bad_input_is_refused_with_path_value_and_what_is_expected(cluster, path, value, words):
    with pytest.raises(TestbedError) as refusal:
        dry_run(cluster, resource(with_field(path, value)))

    assert re.search(words, str(refusal.value)), str(refusal.value)


SAMPLES: dict[str, object] = {"integer": 5, "string": "x", "quantity": "80Gi", "object": {"a": 1}, "list": [{"a": 1}]}


@pytest.mark.parametrize("path", RESERVED)
def test_a_field_of_a_later_version_is_refused_even_without_strict_validation(cluster, path):
    """Such a client gets a mere warning for unknown fields, while the API server drops them."""
    value, tried = SAMPLES[RESERVED[path].shape], path.removeprefix("spec.")
    if "[]." in tried:
        tried, inner = tried.split("[].")
        value = [{"name": "a", "rank": 0, inner: value}]

    with pytest.raises(TestbedError) as refusal:
        dry_run(cluster, resource(with_field(tried, value)), validate="ignore")

    assert f"{path.replace('[]', '[0]')}: Forbidden: is not supported by this version" in str(refusal.value)
    assert RESERVED[path].instead in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("1st", r'metadata\.name: Invalid value: "1st": .*should match'),
        ("a.b", r'metadata\.name: Invalid value: "a\.b": .*should match'),
        ("a" * (names.MAX_NAME_LENGTH + 1), rf"metadata\.name: Too long: .*{names.MAX_NAME_LENGTH}"),
    ],
)
def test_a_name_that_no_service_or_pod_could_take_is_refused(cluster, name, words):
    with pytest.raises(TestbedError) as refusal:
        dry_run(cluster, resource({"model": {"id": "org/model"}}, name))

    assert re.search(words, str(refusal.value)), str(refusal.value)


def test_the_smallest_resource_is_accepted_and_gets_the_defaults_that_the_types_have(cluster):
    [stored] = dry_run(cluster, resource({"model": {"id": "org/model"}}, "a" * names.MAX_NAME_LENGTH))

    assert stored["spec"]["scaling"]["scaleDown"]["periodSeconds"] == 30
    assert stored["spec"]["engine"]["sharedMemory"] == "2Gi"
    assert parse(stored) == parse(resource({"model": {"id": "org/model"}}))


def missing(asked: Any, stored: Any, path: str = "spec") -> list[str]:
    """Paths of what was asked for and is not stored as it was."""
    if isinstance(asked, dict) and isinstance(stored, dict):
        return [lost for key in asked for lost in missing(asked[key], stored.get(key), f"{path}.{key}")]
    if isinstance(asked, list) and isinstance(stored, list) and len(asked) == len(stored):
        return [
            lost
            for i, (one, two) in enumerate(zip(asked, stored, strict=True))
            for lost in missing(one, two, f"{path}[{i}]")
        ]
    return [] if asked == stored else [f"{path}: {asked!r} became {stored!r}"]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs=st.lists(valid_specs, min_size=12, max_size=12))
def test_whatever_the_types_take_the_api_server_takes_and_nothing_is_pruned(cluster, specs):
    found = [resource(spec, f"model-{number}") for number, spec in enumerate(specs)]
    items = {"apiVersion": "v1", "kind": "List", "items": found}

    stored = dry_run(cluster, items, validate="ignore")

    assert [lost for one, two in zip(specs, stored, strict=True) for lost in missing(one, two["spec"])] == []
    assert [parse(two) for two in stored] == [parse(one) for one in found]


SERVING = {"model": {"id": "org/model", "servedName": "chat"}, "scaling": {"mode": "external", "maxReplicas": 4}}


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"model": {"id": "org/other"}}, r"spec\.model\.id: .*is immutable \(org/model -> org/other\): create another"),
        ({"model": {"servedName": "talk"}}, r"spec\.model\.servedName: .*is immutable \(chat -> talk\)"),
        ({"model": {"servedName": None}}, r"spec\.model\.servedName: .*is immutable \(chat -> org/model\)"),
    ],
)
def test_what_clients_rely_on_cannot_be_changed(cluster, namespace, patch, words):
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(resource(SERVING)))

    with pytest.raises(TestbedError) as refusal:
        cluster.kubectl("patch", "-n", namespace, "bllm", "model", "--type=merge", "-p", json.dumps({"spec": patch}))

    assert re.search(words, str(refusal.value)), str(refusal.value)


def test_everything_else_can_be_changed(cluster, namespace):
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(resource(SERVING)))
    changed = deepcopy(SERVING) | {"batching": {"maxNumSeqs": 8}, "memory": {"gpuUtilization": 0.8}}

    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(resource(changed)))


def test_the_scale_subresource_works_where_it_is_read_and_says_why_where_not(cluster, namespace):
    """Replicas that are left over from another mode do not stand in the way of going back to auto."""
    scale = ("scale", "-n", namespace, "bllm", "model")
    mode = '{{"spec":{{"scaling":{{"mode":"{}"}}}}}}'
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(resource(SERVING)))
    cluster.kubectl(*scale, "--replicas=3")
    assert cluster.kubectl("get", "-n", namespace, "bllm", "model", "-o", "jsonpath={.spec.replicas}") == "3"

    cluster.kubectl("patch", "-n", namespace, "bllm", "model", "--type=merge", "-p", mode.format("auto"))

    with pytest.raises(TestbedError, match=r"is 4, but is only read in the scaling modes external and off"):
        cluster.kubectl(*scale, "--replicas=4")


def test_the_columns_show_the_status(cluster, namespace):
    """The resource is being deleted, for then an operator that runs in the cluster does not write its status."""
    being_deleted = resource(SERVING)
    being_deleted["metadata"]["finalizers"] = ["batchedllm.dev/test"]
    status = {
        "readyReplicas": 2,
        "wantedReplicas": 3,
        "load": {"reportingReplicas": 2, "queueDepth": 7, "gpuUtilization": 93},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "reason": "Serving",
                "message": "the model answers requests",
            }
        ],
        "plan": {"verdict": "Fits", "message": "it does", "confidence": "exact"},
    }
    patch = ("patch", "-n", namespace, "bllm", "model", "--type=merge", "-p")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(being_deleted))
    cluster.kubectl("delete", "-n", namespace, "bllm", "model", "--wait=false")
    try:
        cluster.kubectl(*patch, json.dumps({"status": status}), "--subresource=status")
        head, row = cluster.kubectl("get", "-n", namespace, "bllm", "-o", "wide").splitlines()
    finally:
        cluster.kubectl(*patch, json.dumps({"metadata": {"finalizers": None}}))

    assert re.sub(r"\s{2,}", ", ", head.strip()) == (
        "NAME, MODEL, REPLICAS, WANTED, QUEUE, GPU %, READY, REASON, AGE, PLAN, MODE"
    )
    assert re.match(r"model\s+org/model\s+2\s+3\s+7\s+93\s+True\s+Serving\s+\S+\s+Fits\s+external", row), row


def test_explain_shows_units_and_defaults(cluster):
    told = cluster.kubectl("explain", "bllm.spec.scaling.scaleDown")

    assert "stabilizationSeconds" in told
    assert "Seconds in which" in told
