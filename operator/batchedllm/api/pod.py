"""`spec.engine` and `spec.pod`: the serving image, and the allow-list of what users may set on its pods."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema

from batchedllm.api.base import (
    LIST_BY_NAME,
    LIST_IS_A_SET,
    LIST_IS_ONE_VALUE,
    QUANTITY_MAX_LENGTH,
    ApiModel,
    DnsName,
    Quantity,
    Rule,
    SecretKeyReference,
    checked,
    number,
)
from batchedllm.api.names import ENGINE_USER_ID
from batchedllm.api.owned import ARGUMENT_RULES, ENVIRONMENT_RULE

RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")
"""What `engine.resources` may speak of."""

_BAD_QUANTITY = "type(self['{name}']) != int && !isQuantity(self['{name}'])"

ResourceMap = Annotated[
    dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity],
    WithJsonSchema(
        checked(
            Rule(
                f"self.all(name, name in {list(RESOURCES)})",
                "only cpu, memory and ephemeral-storage can be set; GPUs are spec.gpu",
            ),
            *(
                Rule(
                    f"!('{name}' in self) || !({_BAD_QUANTITY.format(name=name)})",
                    f"{name} must be a Kubernetes quantity, such as 500m or 16Gi",
                    f"'{name} is ' + string(self['{name}']) + ', must be a Kubernetes quantity, such as 500m or 16Gi'",
                )
                for name in RESOURCES
            ),
            type="object",
            maxProperties=len(RESOURCES),
            additionalProperties={"x-kubernetes-int-or-string": True, "maxLength": QUANTITY_MAX_LENGTH},
        )
    ),
]
"""Amounts by resource."""

FreeObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""A part of the pod that the API server checks when the pod's Deployment is applied."""

QUALIFIED_NAME: Final = "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
"""What keys of labels and annotations look like."""

OPERATORS_OWN_KEYS: Final = "^(batchedllm[.]dev/.*|app[.]kubernetes[.]io/(managed-by|name|instance))$"
"""Keys that the operator finds its pods by."""


def _keys(pattern: str, message: str, *, match: bool) -> Rule:
    """Rule that all keys of a map match `pattern`, or that none does; keys are unbounded, so no message repeats one."""
    wrong = f"{'!' if match else ''}key.matches('{pattern}')"
    return Rule(f"!self.exists(key, {wrong})", message)


_KEYS_ARE_NAMES = _keys(
    QUALIFIED_NAME, "keys must be names such as team or example.com/team, with at most 63 characters", match=True
)
_KEYS_ARE_NOT_OURS = _keys(OPERATORS_OWN_KEYS, "these keys belong to the operator, choose others", match=False)
MAX_ENTRIES: Final = 32

LabelMap = Annotated[
    dict[str, str],
    WithJsonSchema(
        checked(
            _KEYS_ARE_NAMES,
            _KEYS_ARE_NOT_OURS,
            type="object",
            maxProperties=MAX_ENTRIES,
            additionalProperties={
                "type": "string",
                "maxLength": 63,
                "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
            },
        )
    ),
]
"""Labels, or a choice of nodes by labels."""

AnnotationMap = Annotated[
    dict[str, str],
    WithJsonSchema(
        checked(
            _KEYS_ARE_NAMES,
            _KEYS_ARE_NOT_OURS,
            type="object",
            maxProperties=MAX_ENTRIES,
            additionalProperties={"type": "string", "maxLength": 4096},
        )
    ),
]
"""Annotations."""


def _within_limit(name: str) -> Rule:
    """Rule that the request for `name` is at most its limit."""
    request, limit = f"self.requests['{name}']", f"self.limits['{name}']"
    both = f"has(self.requests) && has(self.limits) && '{name}' in self.requests && '{name}' in self.limits"
    return Rule(
        f"!({both}) || !quantity(string({request})).isGreaterThan(quantity(string({limit})))",
        f"the request for {name} must be at most its limit",
        f"'the request for {name} is ' + string({request}) + ', must be at most its limit (' + string({limit}) + ')'",
        ".requests",
    )


class Resources(ApiModel):
    """CPU, memory and disk of one replica."""

    requests: ResourceMap = Field(default_factory=dict, description="What the scheduler reserves.")
    limits: ResourceMap = Field(default_factory=dict, description="What the kernel enforces.")
    rules = tuple(_within_limit(name) for name in RESOURCES)


class Cache(ApiModel):
    """Where downloaded weights and compiled code are kept."""

    claim_name: DnsName | None = Field(
        default=None, description="PersistentVolumeClaim, shared by all replicas. Unset: a volume of the pod."
    )
    size_limit: Quantity | None = Field(
        default=None, description="Most bytes of the pod's own volume. Unset: the node's disk."
    )
    startup_plan: bool | None = Field(
        default=None,
        description="Keep vLLM's startup plan beside the compiled code, so that later starts do not measure memory "
        "again (vLLM 0.32 or newer, on GPUs). Their KV cache is then about 150 MiB smaller than the first start's, a "
        "margin that vLLM leaves: what fits without that to spare would not start a second time. Unset: the engine's "
        "default, which is off.",
    )
    rules = (
        Rule(
            "!(has(self.claimName) && has(self.sizeLimit))",
            "sizeLimit is for the pod's own volume, a claim has its own size",
        ),
    )


class Engine(ApiModel):
    """The serving image."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image that takes the arguments of `vllm serve`. Unset: the operator's default engine image.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the image is pulled."
    )
    image_pull_secrets: Annotated[list[DnsName], Field(max_length=8, json_schema_extra=LIST_IS_A_SET)] = Field(
        default_factory=list, description="Names of Secrets with credentials of the registry."
    )
    arguments: Annotated[
        list[Annotated[str, Field(min_length=3, max_length=1024)]],
        Field(max_length=32, json_schema_extra=LIST_IS_ONE_VALUE),
    ] = Field(
        default_factory=list,
        description="Further arguments of the engine, each as `--name` or `--name=value`; passed on as they are.",
    )
    shared_memory: Quantity = Field(default="2Gi", description="Size of /dev/shm. It counts as memory of the pod.")
    resources: Resources = Field(default_factory=Resources, description="CPU, memory and disk of one replica.")
    cache: Cache = Field(default_factory=Cache, description="Where weights and compiled code are kept.")
    rules = ARGUMENT_RULES


class EnvironmentSource(ApiModel):
    """Where the value of an environment variable comes from."""

    secret_key_ref: SecretKeyReference = Field(description="A key of a Secret.")


class EnvironmentVariable(ApiModel):
    """An environment variable of the engine."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Its name.")
    value: str | None = Field(default=None, max_length=4096, description="Its value.")
    value_from: EnvironmentSource | None = Field(default=None, description="Where its value comes from.")
    rules = (
        Rule("has(self.value) != has(self.valueFrom)", "needs either value or valueFrom"),
        ENVIRONMENT_RULE,
    )


class Toleration(ApiModel):
    """A taint of a node that the pods accept, as in a pod's `tolerations`."""

    key: str | None = Field(default=None, max_length=253, description="Key of the taint. Unset: any.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Unset: Equal.")
    value: str | None = Field(default=None, max_length=63, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint. Unset: any."
    )
    toleration_seconds: int | None = Field(default=None, description="Seconds a NoExecute taint is accepted for.")
    rules = (
        Rule(
            "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
            "must be Exists where no key is given",
            None,
            ".operator",
        ),
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "must be left out where operator is Exists",
            "'is ' + self.value + ', must be left out where operator is Exists'",
            ".value",
        ),
        Rule(
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            "is only for the effect NoExecute",
            f"'is ' + {number('self.tolerationSeconds')} + ', but it is only for the effect NoExecute'",
            ".tolerationSeconds",
        ),
    )


class PodUser(ApiModel):
    """The user that the engine runs as; root is refused."""

    run_as_user: int = Field(default=ENGINE_USER_ID, ge=1, description="User id.")
    run_as_group: int = Field(default=ENGINE_USER_ID, ge=0, description="Group id.")
    fs_group: int = Field(default=ENGINE_USER_ID, ge=0, description="Group that owns the volumes.")


class Pod(ApiModel):
    """Where and as whom the pods run. A list of what may be set: host access and privilege are not on it."""

    env: Annotated[
        list[EnvironmentVariable],
        Field(
            max_length=64,
            json_schema_extra=LIST_BY_NAME,
        ),
    ] = Field(default_factory=list, description="Environment variables of the engine.")
    node_selector: LabelMap = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: Annotated[list[Toleration], Field(max_length=32, json_schema_extra=LIST_IS_ONE_VALUE)] = Field(
        default_factory=list,
        description="Taints that the pods accept, beside that of the GPU resource, which they always accept.",
    )
    affinity: FreeObject | None = Field(default=None, description="Affinity of the pods, as in a pod's `affinity`.")
    topology_spread_constraints: Annotated[
        list[FreeObject], Field(max_length=8, json_schema_extra=LIST_IS_ONE_VALUE)
    ] = Field(default_factory=list, description="As in a pod's `topologySpreadConstraints`.")
    labels: LabelMap = Field(default_factory=dict, description="Further labels of the pods.")
    annotations: AnnotationMap = Field(default_factory=dict, description="Further annotations of the pods.")
    runtime_class_name: DnsName | None = Field(default=None, description="RuntimeClass of the pods.")
    security_context: PodUser = Field(default_factory=PodUser, description="The user that the engine runs as.")
    rules = (
        Rule(
            "!has(self.nodeSelector) || !('nvidia.com/gpu.product' in self.nodeSelector)",
            "nvidia.com/gpu.product must not be set here, use spec.gpu.product",
            "'nvidia.com/gpu.product (' + self.nodeSelector['nvidia.com/gpu.product'] + ') must not be set here, "
            "use spec.gpu.product'",
            ".nodeSelector",
        ),
    )
