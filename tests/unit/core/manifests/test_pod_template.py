"""The engine's pods: privileges, volumes, probes, and what users may add."""

import pytest

from batchedllm.api.resource import parse
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.manifests.pod_template import pod_template
from samples import resource


def template(spec=None):
    cr = resource(spec)
    return pod_template(owner_of(cr), parse(cr), "engine:1")


def pod(spec=None):
    return template(spec)["spec"]


def engine(spec=None):
    (container,) = pod(spec)["containers"]
    return container


def environment(spec=None):
    return {one["name"]: one.get("value") for one in engine(spec)["env"]}


def volume(spec, path):
    """The source of what is mounted at `path`, None if nothing is."""
    name = next((mount["name"] for mount in engine(spec)["volumeMounts"] if mount["mountPath"] == path), None)
    return next((one for one in pod(spec)["volumes"] if one["name"] == name), None)


def test_the_pod_meets_the_restricted_standard():
    made = pod()

    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["runAsUser"] == 10001
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = engine()["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True


def test_the_pod_cannot_reach_the_api_server_nor_be_confused_by_services():
    made = pod()

    assert made["automountServiceAccountToken"] is False
    assert made["enableServiceLinks"] is False  # a Service called vllm would set VLLM_PORT
    assert made["serviceAccountName"] == "llama"


@pytest.mark.parametrize("path", ["/tmp", "/home/engine", "/home/engine/.cache", "/dev/shm"])
def test_what_the_engine_writes_to_is_a_volume(path):
    """The root filesystem is read-only."""
    assert "emptyDir" in volume({}, path)


def test_shared_memory_lies_in_memory_and_is_bounded():
    assert volume({"engine": {"sharedMemory": "8Gi"}}, "/dev/shm")["emptyDir"] == {
        "medium": "Memory",
        "sizeLimit": "8Gi",
    }


def test_every_mount_has_its_volume_and_every_volume_is_mounted():
    spec = {
        "model": {"id": "x", "source": {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "token"}}}},
        "engine": {"cache": {"claimName": "weights"}},
    }

    assert {one["name"] for one in pod(spec)["volumes"]} == {one["name"] for one in engine(spec)["volumeMounts"]}


def test_a_cache_can_be_shared_or_bounded():
    shared = volume({"engine": {"cache": {"claimName": "weights"}}}, "/home/engine/.cache")
    bounded = volume({"engine": {"cache": {"sizeLimit": "50Gi"}}}, "/home/engine/.cache")

    assert shared["persistentVolumeClaim"] == {"claimName": "weights"}
    assert bounded["emptyDir"] == {"sizeLimit": "50Gi"}


def test_whatever_is_compiled_lies_on_the_cache_volume_for_the_next_start():
    places = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "HF_HOME")
    made = environment()

    assert all(made[place].startswith("/home/engine/.cache/") for place in places)
    assert len({made[place] for place in places}) == len(places)


@pytest.mark.parametrize(("wanted", "value"), [(True, "1"), (False, "0"), (None, None)])
def test_a_startup_plan_is_kept_only_where_it_is_asked_for(wanted, value):
    cache = {} if wanted is None else {"startupPlan": wanted}

    assert environment({"engine": {"cache": cache}}).get("VLLM_ENABLE_STARTUP_PLAN") == value


TOKEN = {"model": {"id": "x", "source": {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "read"}}}}}


def test_the_token_is_a_file_and_never_a_variable():
    secret = volume(TOKEN, "/var/run/secrets/batchedllm/hf")["secret"]

    assert secret == {"secretName": "hf", "defaultMode": 0o440, "items": [{"key": "read", "path": "token"}]}
    assert environment(TOKEN)["HF_TOKEN_PATH"] == "/var/run/secrets/batchedllm/hf/token"
    assert "HF_TOKEN" not in environment(TOKEN)
    assert not [one for one in engine(TOKEN)["env"] if "valueFrom" in one]


def test_without_a_token_nothing_points_to_one():
    assert "HF_TOKEN_PATH" not in environment()


def test_a_models_volume_is_read_only_twice():
    spec = {"model": {"id": "llama", "source": {"pvc": {"claimName": "weights"}}}}

    assert volume(spec, "/models/volume")["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert next(one for one in engine(spec)["volumeMounts"] if one["mountPath"] == "/models/volume")["readOnly"] is True


def test_gpus_are_a_limit_with_their_toleration():
    spec = {"gpu": {"resource": "amd.com/gpu", "perReplica": 2, "product": "MI300X"}}

    assert engine(spec)["resources"]["limits"] == {"amd.com/gpu": "2"}
    assert {"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod(spec)["tolerations"]
    assert pod(spec)["nodeSelector"] == {"nvidia.com/gpu.product": "MI300X"}


def test_an_engine_on_the_cpu_asks_for_no_gpu_and_tolerates_none():
    spec = {"gpu": {"perReplica": 0}}

    assert "resources" not in engine(spec)
    assert "tolerations" not in pod(spec)


def test_cpu_and_memory_are_as_asked_for():
    resources = {"requests": {"cpu": 4, "memory": "16Gi"}, "limits": {"memory": "32Gi"}}

    assert engine({"gpu": {"perReplica": 0}, "engine": {"resources": resources}})["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"memory": "32Gi"},
    }


def test_the_startup_probe_gives_the_time_that_was_asked_for():
    probe = engine({"rollout": {"startupSeconds": 901}})["startupProbe"]

    assert probe["httpGet"]["path"] == "/health"
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 901


def test_a_busy_engine_is_not_killed():
    probe = engine()["livenessProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120


def test_the_engine_may_start_for_as_long_as_the_probe_allows():
    """vLLM gives up on its own after 600 s."""
    assert environment({"rollout": {"startupSeconds": 5400}})["VLLM_ENGINE_READY_TIMEOUT_S"] == "5400"


def test_a_pod_leaves_the_service_before_it_stops_and_has_time_to_drain():
    spec = {"rollout": {"drainSeconds": 90}}
    pause = engine(spec)["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pause > 0
    assert pod(spec)["terminationGracePeriodSeconds"] >= pause + 90 + 20


def test_the_last_words_of_a_failed_engine_are_kept_in_its_status():
    assert engine()["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_nothing_is_reported_to_others():
    assert environment()["VLLM_NO_USAGE_STATS"] == "1"


def test_a_users_variable_holds_over_ours_and_secrets_are_passed_by_reference():
    env = [
        {"name": "HF_HOME", "value": "/elsewhere"},
        {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
    ]

    made = engine({"pod": {"env": env}})["env"]

    assert [one for one in made if one["name"] == "HF_HOME"] == [{"name": "HF_HOME", "value": "/elsewhere"}]
    assert made[-1] == env[1]


def test_what_users_add_is_passed_on():
    spec = {
        "priority": {"podPriorityClassName": "important"},
        "engine": {"image": "mine:2", "imagePullPolicy": "Always", "imagePullSecrets": ["registry"]},
        "pod": {
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {"x": 1}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
            "annotations": {"a": "b"},
            "labels": {"team": "llm"},
            "runtimeClassName": "nvidia",
            "securityContext": {"runAsUser": 2000, "runAsGroup": 5, "fsGroup": 6},
        },
    }

    made = pod(spec)

    assert made["priorityClassName"] == "important"
    assert made["runtimeClassName"] == "nvidia"
    assert made["imagePullSecrets"] == [{"name": "registry"}]
    assert made["nodeSelector"] == {"zone": "a"}
    assert {"key": "spot", "operator": "Exists"} in made["tolerations"]
    assert made["affinity"] == {"nodeAffinity": {"x": 1}}
    assert made["topologySpreadConstraints"][0]["topologyKey"] == "zone"
    assert (made["securityContext"]["runAsUser"], made["securityContext"]["fsGroup"]) == (2000, 6)
    assert (engine(spec)["image"], engine(spec)["imagePullPolicy"]) == ("mine:2", "Always")
    metadata = template(spec)["metadata"]
    assert metadata["annotations"]["a"] == "b"
    assert metadata["labels"]["team"] == "llm"


def test_users_cannot_take_pods_away_from_their_service_by_a_label():
    spec = {"pod": {"labels": {"batchedllm.dev/name": "other"}}}

    assert template(spec)["metadata"]["labels"]["batchedllm.dev/name"] == "llama"


def test_pods_of_different_templates_can_be_told_apart():
    def fingerprint(spec):
        return template(spec)["metadata"]["annotations"]["batchedllm.dev/template"]

    assert fingerprint({}) == fingerprint({"scaling": {"maxReplicas": 9}})
    assert fingerprint({}) != fingerprint({"batching": {"maxNumSeqs": 7}})
