"""What holds of every reconciliation, whatever the resource and the state of its pods."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchedllm.api.resource import parse
from batchedllm.core.manifests.children import children
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Now
from batchedllm.core.scaling.schedule import bounds_at
from pod_states import pods
from samples import DEFAULTS, NOW, gathered, load, resource
from server_side_apply import apply, edit
from valid_specs import valid_specs as specs

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy; how long an example takes is no property."""

loads = st.one_of(
    st.none(),
    st.builds(
        load,
        reporting_replicas=st.integers(0, 4),
        queue_depth_total=st.one_of(st.none(), st.floats(0, 1e6)),
        gpu_utilization_percent_mean=st.one_of(st.none(), st.floats(0, 100)),
        kv_cache_usage_fraction_mean=st.one_of(st.none(), st.floats(0, 1)),
        missing=st.sampled_from([(), ("vllm:num_requests_waiting",)]),
    ),
)


def later(seconds):
    return Now(NOW.wall + timedelta(seconds=seconds), NOW.monotonic_seconds + seconds)


def done(look, outcome):
    """The look after `outcome` was carried out."""
    live = {(one["kind"], one["metadata"]["name"]): one for one in (*look.children, *look.benchmarks)}
    for manifest in outcome.apply:
        key = (manifest["kind"], manifest["metadata"]["name"])
        made = apply(live.get(key), manifest, "batchedllm")
        made["metadata"] |= {"uid": f"uid-{key}", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z"}
        if manifest["kind"] == "Deployment":
            made["spec"].setdefault("replicas", 1)
        live[key] = made
    for deletion in outcome.delete:
        del live[deletion.kind, deletion.name]
    cr = look.resource if outcome.status is None else {**look.resource, "status": outcome.status}
    short = tuple(one for one in live.values() if one["kind"] == "Pod")
    lasting = tuple(one for one in live.values() if one["kind"] != "Pod")
    return replace(look, resource=cr, children=lasting, benchmarks=short, memory=outcome.memory)


def settled(look, *, rounds=4, at=0):
    """The look after some rounds, half a second apart."""
    for number in range(rounds):
        look = done(look, reconcile(look, DEFAULTS, later(at + number / 2)))
    return look


def replicas_of(look):
    return next(one["spec"]["replicas"] for one in look.children if one["kind"] == "Deployment")


@unhurried
@given(specs, pods())
def test_what_was_done_is_not_done_again(spec, there):
    """Quiescence: without news there are no writes and no Events."""
    look = settled(gathered(resource(spec), pods=there))

    outcome = reconcile(look, DEFAULTS, later(2))

    assert (outcome.apply, outcome.delete, outcome.status, outcome.notices) == ((), (), None, ())


@unhurried
@given(specs, pods(), loads)
def test_the_operator_never_asks_for_more_or_fewer_replicas_than_allowed(spec, there, fleet):
    limits = {"minReplicas": 1, "maxReplicas": 1, **spec.get("scaling", {})}
    spec = {**spec, "scaling": {**limits, "mode": "auto"}}
    look = settled(gathered(resource(spec), pods=there, load=fleet))

    for number in range(5):
        look = done(look, reconcile(look, DEFAULTS, later(10 * number)))

        bounds = bounds_at(parse(look.resource).scaling, later(10 * number).wall)
        assert bounds.low <= replicas_of(look) <= bounds.high


@unhurried
@given(specs, pods(), loads, st.randoms(use_true_random=False))
def test_the_order_of_what_was_seen_does_not_matter(spec, there, fleet, random):
    look = settled(gathered(resource(spec), pods=there, load=fleet), rounds=2)
    look = replace(look, children=look.children[1:])
    shuffled_pods, shuffled_children = list(look.pods), list(look.children)
    random.shuffle(shuffled_pods)
    random.shuffle(shuffled_children)
    other = replace(look, pods=tuple(shuffled_pods), children=tuple(shuffled_children))

    assert reconcile(look, DEFAULTS, later(9)) == reconcile(other, DEFAULTS, later(9))


@unhurried
@given(specs, specs, pods())
def test_the_way_to_a_spec_does_not_show(before, after, there):
    """Differential: the children are those of a fresh resource, apart from the number of replicas."""
    changed = settled(gathered(resource(before), pods=there))
    changed = settled(replace(changed, resource={**changed.resource, "spec": after}), at=60)
    fresh = settled(gathered(resource(after), pods=there), at=60)

    def wanted(look):
        return {one["kind"]: sorted_items(without_replicas(one)) for one in look.children}

    assert wanted(changed) == wanted(fresh)


def without_replicas(child):
    body = {name: value for name, value in child.items() if name not in {"metadata", "status"}}
    body["spec"] = {name: value for name, value in child.get("spec", {}).items() if name != "replicas"}
    return body | {"annotations": child["metadata"]["annotations"]}


def sorted_items(value):
    """The same with lists in an order of their own: server-side apply keeps that in which keys came first."""
    if isinstance(value, Mapping):
        return {name: sorted_items(inner) for name, inner in value.items() if inner not in ([], {})}
    if isinstance(value, list):
        return sorted((sorted_items(inner) for inner in value), key=repr)
    return value


@unhurried
@given(specs, pods(), st.sampled_from(["auto", "recommend", "external", "off"]), st.integers(0, 9))
def test_what_somebody_else_scaled_is_never_undone_in_the_modes_that_leave_it_to_them(spec, there, first, theirs):
    scaling = {"minReplicas": 2, "maxReplicas": 5}
    look = settled(gathered(resource({**spec, "scaling": {**scaling, "mode": first}}), pods=there))
    number = replicas_of(look)

    left = {name: value for name, value in spec.items() if name != "replicas"}
    cr = {**look.resource, "spec": {**left, "scaling": {**scaling, "mode": "external"}}}
    look = settled(replace(look, resource=cr), at=60)
    assert replicas_of(look) == number

    look = replace(look, children=tuple(_scaled(one, theirs) for one in look.children))
    look = settled(look, at=120)
    assert replicas_of(look) == theirs


def _scaled(child, replicas):
    return edit(child, {"spec": {"replicas": replicas}}, "hpa") if child["kind"] == "Deployment" else child


@unhurried
@given(specs, st.one_of(st.none(), st.integers(0, 9)))
def test_no_builder_emits_a_null_or_an_empty_value(spec, replicas):
    """An emptyDir, and the value of a variable, may be empty; everything else is left out instead."""
    cr = resource(spec)
    for child in children(owner_of(cr), parse(cr), "engine:1", replicas):
        assert list(hollow(child)) == []


def hollow(value, path=""):
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, inner in items:
        here = f"{path}.{name}"
        if inner in (None, "", [], {}) and name not in {"emptyDir", "value"}:
            yield here
        if isinstance(inner, Mapping | list) and name != "affinity":  # passed on as it is
            yield from hollow(inner, here)


@unhurried
@given(specs)
def test_every_pod_meets_the_restricted_pod_security_standard(spec):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    cr = resource(spec)
    template = children(owner_of(cr), parse(cr), "engine:1", 1)[-1]["spec"]["template"]["spec"]

    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(template)
    assert template["securityContext"]["runAsNonRoot"] is True
    assert template["securityContext"]["runAsUser"] > 0
    assert template["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for volume in template["volumes"]:
        assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    for container in template["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount"} & set(security)
        assert all("hostPort" not in port for port in container["ports"])


@unhurried
@given(specs, pods(), loads)
def test_a_status_is_whole_and_bounded(spec, there, fleet):
    outcome = reconcile(gathered(resource(spec), pods=there, load=fleet), DEFAULTS, NOW)

    kinds = [one["type"] for one in outcome.status["conditions"]]
    assert len(kinds) == len(set(kinds))
    assert "Ready" in kinds
    assert not {"Reconciling", "Stalled"} <= set(kinds)
    assert all(one["message"] and len(one["message"]) <= 2048 for one in outcome.status["conditions"])
    assert len(outcome.status.get("failures", ())) <= 10
    assert len(outcome.status.get("decisions", ())) <= 10
