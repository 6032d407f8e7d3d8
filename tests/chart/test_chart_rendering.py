"""What the chart makes of its values, and which values it refuses."""

import subprocess
from dataclasses import fields

import pytest
import yaml

from batchedllm import settings
from chart.rendering import (
    CHART,
    EVERYTHING,
    RefusedByHelmError,
    environment,
    of_kind,
    only,
    operator_pod,
    template,
    template_text,
)
from testbed import tools

pytestmark = pytest.mark.chart


def test_helm_lint_has_nothing_to_say():
    subprocess.run([str(tools.helm()), "lint", "--strict", str(CHART)], check=True, capture_output=True)


@pytest.mark.parametrize(
    "setting",
    [
        "imagee.tag=x",
        "image.tagg=x",
        "networkPolicy.apiServer.port=1",
        "replicas=many",
        "replicas=-1",
        "scrapeIntervalSeconds=0.1",
        "watch.scope=galaxy",
        "watch.namespaces={Not_A_Name}",
        "image.digest=latest",
        "image.pullPolicy=Sometimes",
        "crds.keep=perhaps",
        "imagePullSecrets={registry}",
        "tolerations[0].kay=x",
        "resources.requests.cpu.amount=1",
        "podLabels.team.name=x",
        "log.level=trace",
    ],
)
def test_a_setting_that_the_chart_does_not_know_or_of_the_wrong_type_is_refused(setting):
    with pytest.raises(RefusedByHelmError, match="values don't meet the specifications of the schema"):
        template(setting)


def test_namespaces_cannot_be_listed_for_an_operator_that_watches_all():
    with pytest.raises(RefusedByHelmError, match=r"watch.*namespaces"):
        template("watch.scope=cluster", "watch.namespaces={a}")


def test_every_variable_that_the_chart_sets_is_one_that_the_operator_reads():
    known = {settings.PREFIX + one.name.upper() for one in fields(settings.Settings)}

    assert set(environment(template())) <= known


@pytest.mark.parametrize("values", ["", EVERYTHING], ids=["defaults", "everything"])
def test_the_operator_takes_what_the_chart_sets(values):
    """The operator's own reader of settings accepts the values and means the same by them."""
    manifests = template(values=values)
    given = yaml.safe_load(values or "{}")

    read = settings.load([], {name: value for name, value in environment(manifests).items() if value is not None})

    assert read.scrape_interval_seconds == given.get("scrapeIntervalSeconds", 2)
    assert read.namespaces == (("batchedllm-system",) if given else ())
    assert read.lease_name == only(manifests, "Deployment")["metadata"]["name"]
    assert (read.log_level, read.log_format) == (("debug", "text") if given else ("info", "json"))


def test_images_are_named_by_tag_or_by_digest():
    digest = "sha256:" + "b" * 64

    assert operator_pod(template())["containers"][0]["image"] == "batchedllm.dev/operator:0.1.0"
    assert environment(template())["BATCHEDLLM_ENGINE_IMAGE"] == "batchedllm.dev/engine:0.1.0-gpu"
    pinned = template(f"image.digest={digest}", "image.tag=ignored", "engine.image.tag=v2")
    assert operator_pod(pinned)["containers"][0]["image"] == f"batchedllm.dev/operator@{digest}"
    assert environment(pinned)["BATCHEDLLM_ENGINE_IMAGE"] == "batchedllm.dev/engine:v2"


def test_the_operator_keeps_to_the_restricted_profile():
    pod = operator_pod(template())
    container = pod["containers"][0]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


def test_only_the_operators_pods_get_the_token():
    manifests = template()

    assert only(manifests, "ServiceAccount")["automountServiceAccountToken"] is False
    assert operator_pod(manifests)["automountServiceAccountToken"] is True


def test_probes_ask_the_port_that_the_operator_serves():
    container = operator_pod(template())["containers"][0]

    assert container["ports"] == [
        {"name": "metrics", "containerPort": settings.Settings().listen_port, "protocol": "TCP"}
    ]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_the_crd_is_upgraded_with_the_chart_and_kept_without_it():
    crd = only(template(), "CustomResourceDefinition")
    current = yaml.safe_load((CHART.parents[1] / "crds/batchedllms.yaml").read_text())

    assert crd["spec"] == current["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in only(template("crds.keep=false"), "CustomResourceDefinition")["metadata"]
    assert not of_kind(template("crds.install=false"), "CustomResourceDefinition")


def test_by_default_nothing_is_made_that_depends_on_the_cluster():
    kinds = {one["kind"] for one in template()}

    assert not kinds & {"PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}


def test_the_disruption_budget_never_blocks_a_drain():
    budget = only(template("podDisruptionBudget.enabled=true"), "PodDisruptionBudget")

    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]


def test_the_network_policy_lets_out_to_the_api_server_the_engines_and_gpu_exporters_and_nowhere_else():
    policy = only(template("networkPolicy.enabled=true"), "NetworkPolicy")["spec"]

    assert [[port["port"] for port in rule["ports"]] for rule in policy["egress"]] == [[443, 6443], [8000], [9400]]
    engines = policy["egress"][1]["to"][0]
    assert engines["podSelector"] == {"matchExpressions": [{"key": "batchedllm.dev/name", "operator": "Exists"}]}
    assert [[port["port"] for port in rule["ports"]] for rule in policy["ingress"]] == [["metrics"]]
    assert policy["podSelector"]["matchLabels"] == only(template(), "Deployment")["spec"]["selector"]["matchLabels"]


def test_the_network_policy_can_be_narrowed_to_one_api_server():
    policy = only(template(values=EVERYTHING), "NetworkPolicy")["spec"]

    assert policy["egress"][0] == {
        "ports": [{"port": 6443, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    }
    assert {port["port"] for port in policy["egress"][-1]["ports"]} == {53}
    assert policy["ingress"][0]["from"]


def test_the_pod_monitor_and_the_service_select_the_operators_pods():
    manifests = template("metrics.podMonitor.enabled=true", "metrics.podMonitor.labels.release=prometheus")
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    monitor = only(manifests, "PodMonitor")

    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    assert only(manifests, "Service")["spec"]["selector"].items() <= labels.items()


def test_labels_of_the_user_reach_everything_and_change_no_selector():
    manifests = template("commonLabels.team=serving", "commonLabels.app\\.kubernetes\\.io/name=other")

    assert {one["metadata"]["labels"]["team"] for one in manifests} == {"serving"}
    assert {one["metadata"]["labels"]["app.kubernetes.io/name"] for one in manifests} == {"batchedllm-operator"}
    assert only(manifests, "Deployment")["spec"]["selector"] == only(template(), "Deployment")["spec"]["selector"]


def test_spread_constraints_count_the_operators_pods_unless_told_otherwise():
    (constraint,) = operator_pod(template(values=EVERYTHING))["topologySpreadConstraints"]

    assert constraint["labelSelector"] == only(template(), "Deployment")["spec"]["selector"]


@pytest.mark.parametrize(
    ("settings", "release", "expected"),
    [
        ((), "batchedllm", "batchedllm-operator"),
        ((), "prod", "prod-batchedllm-operator"),
        (("fullnameOverride=serving",), "prod", "serving-operator"),
        ((), "r" * 53, "r" * 46 + "-operator"),
    ],
)
def test_names_follow_the_release(settings, release, expected):
    assert only(template(*settings, release=release), "Deployment")["metadata"]["name"] == expected


def test_rendering_twice_gives_the_same():
    """Nothing random and no time: a GitOps tool that renders again sees no difference."""
    assert template_text(values=EVERYTHING) == template_text.__wrapped__(values=EVERYTHING)
