"""The middleware's configuration, read back by the middleware itself, and what pods know of it."""

import pytest
from hypothesis import given

from batchedllm.api.resource import InvalidSpec, parse
from batchedllm.core.manifests.admission_config import admission_config
from batchedllm.core.manifests.children import children
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.manifests.pod_template import pod_template
from batchedllm_engine.middleware.configuration import parse_configuration
from samples import resource
from valid_specs import valid_specs

CLASSES = [
    {"name": "high", "rank": -10, "keyOnly": True, "maxQueueSeconds": 5},
    {"name": "normal", "rank": 3, "default": True, "maxRunningRequests": 7},
    {"name": "low", "rank": 10, "rateLimit": {"requestsPerMinute": 600}},
]
EVERYTHING = {
    "batching": {"maxNumSeqs": 130},
    "rollout": {"drainSeconds": 90},
    "priority": {"classes": CLASSES},
    "admission": {
        "maxQueuedRequests": 256,
        "maxQueuedTokens": 90000,
        "maxQueueSeconds": 30,
        "maxOutputTokens": 4096,
        "requestTimeoutSeconds": 120,
        "rateLimit": {"tokensPerMinute": 1000000},
        "apiKeys": {"secretRef": {"name": "clients", "key": "all"}, "required": False},
    },
}


def config_map(spec):
    cr = resource(spec)
    return admission_config(owner_of(cr), parse(cr))


def read_back(spec):
    """What the middleware makes of the file."""
    return parse_configuration(config_map(spec)["data"]["config.yaml"].encode(), "config.yaml")


def template(spec):
    cr = resource(spec)
    return pod_template(owner_of(cr), parse(cr), "engine:1")


def mounts(spec):
    """Volumes of a pod of `spec` by where they are mounted."""
    made = template(spec)["spec"]
    sources = {one["name"]: one for one in made["volumes"]}
    return {one["mountPath"]: (sources[one["name"]], one) for one in made["containers"][0]["volumeMounts"]}


def kinds(spec):
    cr = resource(spec)
    return [child["kind"] for child in children(owner_of(cr), parse(cr), "engine:1", 1)]


def test_every_field_of_the_resource_is_understood_by_the_middleware():
    found = read_back(EVERYTHING)

    assert [(one.name, one.rank, one.default, one.key_only) for one in found.classes] == [
        ("high", -10, False, True),
        ("normal", 3, True, False),
        ("low", 10, False, False),
    ]
    high, normal, low = (one.limits for one in found.classes)
    assert (high.queue_seconds, normal.running_requests, low.requests_per_minute) == (5, 7, 600)
    limits = found.limits
    assert (limits.queued_requests, limits.queued_tokens, limits.queue_seconds) == (256, 90000, 30)
    assert (limits.output_tokens, limits.request_seconds, limits.tokens_per_minute) == (4096, 120, 1000000)
    assert (found.api_keys.file, found.api_keys.required) == ("/etc/batchedllm/keys/keys.yaml", False)


@given(valid_specs)
def test_no_resource_makes_a_configuration_that_the_middleware_refuses(spec):
    parsed = parse({"spec": spec})
    if parsed.uses_middleware:
        read_back(spec)


def test_the_engine_gets_a_quarter_more_requests_than_its_batch_holds():
    assert read_back(EVERYTHING).limits.running_requests == 163


def test_the_number_of_requests_in_the_engine_can_be_set():
    assert read_back({"admission": {"maxRunningRequests": 5}}).limits.running_requests == 5


def test_where_nothing_waits_before_the_engine_its_queue_limits_stay_its_own():
    limits = read_back({"admission": {"mode": "middleware", "maxQueuedRequests": 9}}).limits

    assert (limits.running_requests, limits.queued_requests) == (None, None)


def test_the_process_ends_by_itself_before_it_is_killed():
    drain = read_back(EVERYTHING).drain
    made = template(EVERYTHING)["spec"]
    pause = made["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert drain.seconds == 90
    assert pause + drain.seconds + drain.exit_seconds < made["terminationGracePeriodSeconds"]


def test_the_file_is_mounted_as_a_folder_in_which_changes_arrive():
    source, mount = mounts(EVERYTHING)["/etc/batchedllm/admission"]

    assert source["configMap"] == {"name": "llama-admission"} == {"name": config_map(EVERYTHING)["metadata"]["name"]}
    assert mount["readOnly"] is True
    assert "subPath" not in mount
    variables = {one["name"]: one.get("value") for one in template(EVERYTHING)["spec"]["containers"][0]["env"]}
    assert variables["BATCHEDLLM_ADMISSION_CONFIG"] == "/etc/batchedllm/admission/config.yaml"


def test_keys_come_from_the_secret_under_the_name_that_the_configuration_tells():
    source, mount = mounts(EVERYTHING)["/etc/batchedllm/keys"]

    assert source["secret"]["secretName"] == "clients"
    assert source["secret"]["items"] == [{"key": "all", "path": "keys.yaml"}]
    assert "subPath" not in mount


def test_a_change_of_limits_is_no_new_version_of_the_pods():
    changed = {**EVERYTHING, "admission": {**EVERYTHING["admission"], "maxQueuedRequests": 1, "maxOutputTokens": 2}}

    assert config_map(changed) != config_map(EVERYTHING)
    assert template(changed) == template(EVERYTHING)


def test_a_resource_that_asks_for_nothing_gets_no_middleware():
    assert "ConfigMap" not in kinds({})
    assert "/etc/batchedllm/admission" not in mounts({})
    assert kinds(EVERYTHING).index("ConfigMap") < kinds(EVERYTHING).index("Deployment")


STOCK = {"image": "vllm/vllm-openai:v0.32.0"}
LIMIT = {"rateLimit": {"requestsPerMinute": 5}}
DEFAULT_ONLY = {"classes": [{"name": "a", "rank": 0, "default": True}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, False),
        ({"admission": {"maxQueuedRequests": 5}}, False),
        ({"priority": DEFAULT_ONLY}, True),
        ({"priority": DEFAULT_ONLY, "engine": STOCK}, False),
        ({"priority": DEFAULT_ONLY, "admission": {"mode": "engine"}}, False),
        ({"admission": {"mode": "middleware"}, "engine": STOCK}, True),
        ({"admission": LIMIT}, True),
        ({"admission": LIMIT, "engine": STOCK}, True),
        ({"priority": {"classes": [{"name": "a", "rank": 0, "default": True, **LIMIT}]}, "engine": STOCK}, True),
    ],
)
def test_who_admits_follows_from_what_is_asked_for(spec, expected):
    assert parse(resource(spec)).uses_middleware is expected


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"admission": {"mode": "engine", **LIMIT}}, "spec.admission.mode", "only the middleware"),
        ({"priority": {"classes": [{"name": "a", "rank": 0}]}}, "spec.priority.classes", "default: true"),
        (
            {"priority": {"classes": [{"name": "a", "rank": 1, "keyOnly": True}, *DEFAULT_ONLY["classes"]]}},
            "spec.priority.classes",
            "admission.apiKeys",
        ),
        ({"admission": {"maxQueueSeconds": 5}}, "spec.admission", "maxRunningRequests"),
    ],
)
def test_what_the_middleware_could_not_hold_is_refused(spec, path, words):
    """The API server refuses it as well; its rules may be those of another version."""
    with pytest.raises(InvalidSpec) as refusal:
        parse(resource(spec))

    assert refusal.value.field_path == path
    assert words in refusal.value.expected
