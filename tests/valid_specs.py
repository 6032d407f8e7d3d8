"""Hypothesis strategies for specs that the API server takes, as JSON: every field of the resource is drawn at times."""

from collections.abc import Callable
from string import ascii_lowercase
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Json = SearchStrategy[dict[str, Any]]

words = st.text(ascii_lowercase + "0123456789", min_size=1, max_size=12).map("n{}".format)
quantities = st.one_of(st.integers(0, 64), st.sampled_from(["500m", "2Gi", "1.5", "64Mi", "3e2"]))
label_maps = st.dictionaries(st.one_of(words, words.map("example.com/{}".format)), words, max_size=3)


def some(**fields: SearchStrategy[Any]) -> Json:
    """An object with any of `fields`."""
    return st.fixed_dictionaries({}, optional=fields)


def lists_of(entries: Json, key: str) -> SearchStrategy[list[dict[str, Any]]]:
    """Lists in which no two entries have the same `key`."""
    return st.lists(entries, max_size=4, unique_by=lambda entry: entry[key])


def ordered(low: str, high: str) -> Callable[[dict[str, Any]], bool]:
    """Tell whether `low` is at most `high`, or is not there."""
    return lambda one: low not in one or (high in one and one[low] <= one[high])


def _agreed(spec: dict[str, Any]) -> dict[str, Any]:
    """Make classes, admission, batch and image agree, as the API server asks for."""
    if not spec.get("priority", {}).get("classes") and "admission" not in spec:
        return spec
    admission = dict(spec.get("admission", {}))
    first, *others = spec.get("priority", {}).get("classes") or [None]
    found = {**spec, "admission": admission}
    if "maxNumSeqs" not in spec.get("batching", {}):
        admission.setdefault("maxRunningRequests", 7)
    if first is not None:
        admission.setdefault("apiKeys", {"secretRef": {"name": "keys", "key": "all"}})
        plain = {key: value for key, value in first.items() if key != "keyOnly"}
        rest = [{key: value for key, value in one.items() if key != "default"} for one in others]
        found["priority"] = {**spec["priority"], "classes": [{**plain, "default": True}, *rest]}
    return found


models = st.fixed_dictionaries(
    {"id": words.map("org/{}".format)},
    optional={
        "revision": words,
        "servedName": words,
        "dtype": st.sampled_from(["auto", "half", "float16", "bfloat16", "float", "float32"]),
        "quantization": words,
        "trustRemoteCode": st.booleans(),
        "source": st.one_of(
            some(huggingFace=some(tokenSecretRef=st.fixed_dictionaries({"name": words, "key": words}))),
            some(pvc=st.fixed_dictionaries({"claimName": words})),
        ),
    },
)
batching = some(
    maxModelLen=st.one_of(st.just("auto"), st.integers(1, 10**6)),
    maxNumSeqs=st.integers(1, 65536),
    maxNumBatchedTokens=st.integers(1, 65536),
).filter(ordered("maxNumSeqs", "maxNumBatchedTokens"))
rate_limits = st.one_of(
    st.fixed_dictionaries({"requestsPerMinute": st.integers(1, 10**12)}),
    st.fixed_dictionaries({"tokensPerMinute": st.integers(1, 10**12)}),
)
classes = st.lists(
    st.fixed_dictionaries(
        {"name": words, "rank": st.integers(-1000, 1000)},
        optional={
            "keyOnly": st.booleans(),
            "maxQueueSeconds": st.integers(1, 86400),
            "maxRunningRequests": st.integers(1, 10**12),
            "rateLimit": rate_limits,
        },
    ),
    max_size=4,
    unique_by=(lambda one: one["name"], lambda one: one["rank"]),
)
admission = some(
    mode=st.sampled_from(["auto", "middleware"]),
    maxQueuedRequests=st.integers(1, 10**6),
    maxQueuedTokens=st.integers(1, 10**9),
    maxQueueSeconds=st.integers(1, 86400),
    maxRunningRequests=st.integers(1, 10**12),
    maxOutputTokens=st.integers(1, 10**12),
    requestTimeoutSeconds=st.integers(1, 86400),
    rateLimit=rate_limits,
    apiKeys=st.fixed_dictionaries(
        {"secretRef": st.fixed_dictionaries({"name": words, "key": words})}, optional={"required": st.booleans()}
    ),
)
schedules = lists_of(
    st.fixed_dictionaries(
        {
            "name": words,
            "timeZone": st.sampled_from(["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"]),
            "start": st.sampled_from(["0 8 * * 1-5", "*/30 22 1,15 * *", "0 0 L * *"]),
            "end": st.sampled_from(["0 18 * * 1-5", "59 23 31 12 *", "0 7 * JAN-MAR MON#1"]),
            "minReplicas": st.integers(1, 500),
        },
        optional={"maxReplicas": st.integers(1, 1000)},
    ).filter(ordered("minReplicas", "maxReplicas")),
    key="name",
)
scaling = some(
    mode=st.sampled_from(["auto", "recommend", "external", "off"]),
    minReplicas=st.integers(0, 1000),
    maxReplicas=st.integers(1, 1000),
    idleSeconds=st.integers(10, 604800),
    signals=some(
        queueDepth=some(perReplica=st.integers(1, 100000)),
        gpuUtilization=some(target=st.integers(1, 100), role=st.sampled_from(["guard", "target", "off"])),
    ),
    scaleUp=some(maxStep=st.integers(1, 1000), periodSeconds=st.integers(1, 3600)),
    scaleDown=some(maxStep=st.integers(1, 1000), stabilizationSeconds=st.integers(0, 86400)),
    schedules=schedules,
).filter(ordered("minReplicas", "maxReplicas"))
rollout = some(
    drainSeconds=st.integers(0, 3600),
    startupSeconds=st.integers(30, 86400),
    maxSurge=st.integers(1, 64),
    maxUnavailable=st.integers(0, 64),
)
engine = some(
    image=words,
    imagePullPolicy=st.sampled_from(["Always", "IfNotPresent", "Never"]),
    imagePullSecrets=st.lists(words, max_size=3, unique=True),
    arguments=st.lists(words.map("--my-{}=a b".format), max_size=4),
    sharedMemory=quantities,
    resources=st.one_of(some(requests=some(cpu=quantities, memory=quantities)), some(limits=some(cpu=quantities))),
    cache=st.one_of(some(claimName=words, startupPlan=st.booleans()), some(sizeLimit=quantities)),
)
env = lists_of(
    st.one_of(
        st.fixed_dictionaries({"name": words, "value": st.text(ascii_lowercase, max_size=9)}),
        st.fixed_dictionaries(
            {
                "name": words,
                "valueFrom": st.fixed_dictionaries(
                    {"secretKeyRef": st.fixed_dictionaries({"name": words, "key": words})}
                ),
            }
        ),
    ),
    "name",
)
pod = some(
    env=env,
    nodeSelector=label_maps,
    tolerations=st.lists(
        st.fixed_dictionaries(
            {"key": words}, optional={"effect": st.sampled_from(["NoSchedule", "NoExecute"]), "value": words}
        ),
        max_size=3,
    ),
    affinity=st.just({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
    topologySpreadConstraints=st.just([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
    labels=label_maps,
    annotations=label_maps,
    runtimeClassName=words,
    securityContext=some(runAsUser=st.integers(1, 65535), runAsGroup=st.integers(0, 65535)),
)


def _without_unread_replicas(spec: dict[str, Any]) -> dict[str, Any]:
    """Drop `replicas` in the modes in which nobody reads them."""
    read = spec.get("scaling", {}).get("mode") in {"external", "off"}
    return {key: value for key, value in spec.items() if key != "replicas" or read}


valid_specs: Json = st.fixed_dictionaries(
    {"model": models},
    optional={
        "gpu": some(
            resource=st.sampled_from(["nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.10gb"]),
            perReplica=st.integers(0, 64),
            product=words,
        ),
        "memory": some(
            gpuUtilization=st.one_of(st.just(1), st.floats(0.01, 1)), kvCacheDtype=st.sampled_from(["auto", "fp8"])
        ),
        "batching": batching,
        "priority": some(classes=classes, podPriorityClassName=words),
        "admission": admission,
        "scaling": scaling,
        "tuning": some(benchmark=st.sampled_from(["once", "never"]), benchmarkSeconds=st.integers(15, 3600)),
        "rollout": rollout,
        "engine": engine,
        "pod": pod,
        "replicas": st.integers(0, 10000),
    },
).map(lambda spec: _agreed(_without_unread_replicas(spec)))
"""Specs as users write them; defaults are not filled in."""
