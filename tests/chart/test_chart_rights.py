"""The operator's rights: exactly what it needs, where it needs it, as rendered and as the API server sees them."""

import json
from collections.abc import Iterator

import pytest
import yaml

from chart.rendering import Manifest, of_kind, template

pytestmark = pytest.mark.chart

Right = tuple[str, str, str]

CHILD = ("get", "list", "watch", "create", "patch", "delete")
NEEDED: dict[tuple[str, str], tuple[str, ...]] = {
    ("batchedllm.dev", "batchedllms"): ("get", "list", "watch"),
    ("batchedllm.dev", "batchedllms/status"): ("patch",),
    ("batchedllm.dev", "batchedllms/finalizers"): ("update",),
    ("apps", "deployments"): CHILD,
    ("apps", "replicasets"): ("list", "watch"),
    ("", "services"): CHILD,
    ("", "serviceaccounts"): CHILD,
    ("policy", "poddisruptionbudgets"): CHILD,
    ("", "configmaps"): CHILD,
    ("", "pods"): CHILD,
    ("", "pods/log"): ("get",),
    ("", "events"): ("create", "list"),
}
"""What the operator does where it watches: verbs by API group and resource."""

OF_THE_CLUSTER = ("", "nodes", "list")
"""The labels that tell the memory of the GPUs; an operator for some namespaces does without."""

FORBIDDEN = {"secrets", "customresourcedefinitions", "pods/exec", "namespaces", "roles", "clusterroles"}


def expand(rules: list[Manifest]) -> Iterator[Right]:
    for rule in rules:
        for group in rule.get("apiGroups", []):
            for resource in rule["resources"]:
                yield from ((group, resource, verb) for verb in rule["verbs"])


def needed() -> set[Right]:
    return {(group, resource, verb) for (group, resource), verbs in NEEDED.items() for verb in verbs}


def role(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name)
    return found


def test_where_it_watches_the_operator_has_the_rights_it_needs_and_no_other():
    rules = role(template(), "ClusterRole", "batchedllm-operator")["rules"]

    assert sorted(expand(rules)) == sorted({*needed(), OF_THE_CLUSTER})


def test_the_lease_and_the_corrections_can_only_be_changed_by_their_names():
    manifests = template()
    rules = role(manifests, "Role", "batchedllm-operator-lease")["rules"]
    env = manifests[-1]["spec"]["template"]["spec"]["containers"][0]["env"]
    lease_name = next(one["value"] for one in env if one["name"] == "BATCHEDLLM_LEASE_NAME")

    assert rules == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease_name],
            "verbs": ["get", "update"],
        },
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["batchedllm-corrections"],
            "verbs": ["get", "patch"],
        },
    ]


def test_no_role_of_the_chart_has_a_wildcard_or_reads_secrets():
    roles = [one for one in template() if one["kind"] in {"Role", "ClusterRole"}]
    rights = [right for one in roles for right in expand(one["rules"])]

    assert len(roles) == 4
    assert not [right for right in rights if "*" in right]
    assert not [right for right in rights if right[1] in FORBIDDEN]
    assert not [right for right in rights if right[2] in {"escalate", "bind", "impersonate"}]


def test_with_namespace_scope_there_is_a_role_in_each_namespace_and_none_for_the_cluster():
    settings = ("watch.scope=namespace", "watch.namespaces={a,b}", "rbac.aggregateToUserRoles=false")
    manifests = template(*settings)

    assert not [one for one in manifests if one["kind"].startswith("ClusterRole")]
    assert {one["metadata"]["namespace"] for one in of_kind(manifests, "Role")} == {"a", "b", "batchedllm-system"}
    for name in "a", "b":
        (found,) = (one for one in of_kind(manifests, "Role") if one["metadata"]["namespace"] == name)
        assert sorted(expand(found["rules"])) == sorted(needed())


def test_an_operator_for_some_namespaces_may_list_pods_where_the_dcgm_exporters_are_told_to_be_and_nothing_else():
    settings = ("watch.scope=namespace", "watch.namespaces={a}", "dcgmExporter.namespace=gpu-operator")
    found = role(template(*settings), "Role", "batchedllm-operator-dcgm-exporter")
    names = {one["metadata"]["name"] for one in of_kind(template(*settings[:2]), "Role")}
    switched_off = template(*settings, "dcgmExporter.enabled=false")

    assert (found["metadata"]["namespace"], list(expand(found["rules"]))) == ("gpu-operator", [("", "pods", "list")])
    assert "batchedllm-operator-dcgm-exporter" not in names
    assert "gpu-operator" not in {one["metadata"].get("namespace") for one in switched_off}


def test_every_binding_is_for_the_account_that_the_operator_runs_as():
    manifests = template("serviceAccount.name=mine", "watch.scope=namespace", "watch.namespaces={a}")
    bindings = [one for one in manifests if one["kind"].endswith("Binding")]

    assert bindings
    for one in bindings:
        assert one["subjects"] == [{"kind": "ServiceAccount", "name": "mine", "namespace": "batchedllm-system"}]


def test_users_get_batchedllms_through_the_roles_they_have():
    manifests = template()
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    view, edit = (role(manifests, "ClusterRole", name) for name in ("batchedllm-view", "batchedllm-edit"))

    assert {right[2] for right in expand(view["rules"])} == {"get", "list", "watch"}
    assert {label for label in view["metadata"]["labels"] if label.startswith(aggregate)} >= {f"{aggregate}view"}
    assert not [right for right in expand(edit["rules"]) if right[1] == "batchedllms/status"]
    assert f"{aggregate}view" not in edit["metadata"]["labels"]


def test_rights_can_be_left_to_somebody_else():
    manifests = template("rbac.create=false", "rbac.aggregateToUserRoles=false", "serviceAccount.create=false")

    assert not [one for one in manifests if one["kind"].startswith(("Role", "ClusterRole", "ServiceAccount"))]


def review(cluster, namespace: str, account: str) -> set[Right]:
    """Ask the API server what an account may do in a namespace."""
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    user = f"system:serviceaccount:{namespace}:{account}"
    # Without validation: the account may not read the schemas.
    command = ("create", "--validate=false", "-f", "-", "-o", "json", f"--as={user}")
    answer = cluster.kubectl(*command, stdin=json.dumps(question))
    return set(expand(json.loads(answer)["status"]["resourceRules"]))


@pytest.mark.cluster
def test_the_api_server_grants_the_operator_exactly_these_rights(cluster, namespace):
    """Beside what it grants to every account."""
    settings = ("watch.scope=namespace", "rbac.aggregateToUserRoles=false", "crds.install=false", "replicas=0")
    manifests = template(*settings, namespace=namespace, release="rights")
    account = "rights-batchedllm-operator"
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    granted = review(cluster, namespace, account) - review(cluster, namespace, "nobody")

    lease = {("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")}
    assert granted == needed() | lease
