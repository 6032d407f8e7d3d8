"""The CustomResourceDefinition that is made from the types."""

from collections.abc import Iterator
from typing import Any

import pytest

from batchedllm.api import names
from batchedllm.api.crd import custom_resource_definition, spec_schema, status_schema
from batchedllm.api.reserved import RESERVED
from batchedllm.api.spec import BatchedLLMSpec

VERSION = custom_resource_definition()["spec"]["versions"][0]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within `schema`, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from nodes(schema[inner], f"{path}[]")


ALL_NODES = [*nodes(spec_schema(), "spec"), *nodes(status_schema(), "status")]


@pytest.mark.parametrize(("path", "node"), ALL_NODES, ids=[path for path, _ in ALL_NODES])
def test_every_node_is_structural(path: str, node: dict[str, Any]):
    """The API server refuses schemas with references, alternatives or missing types."""
    assert "type" in node or node.get("x-kubernetes-int-or-string")
    assert not {"$ref", "anyOf", "allOf", "title", "const"} & set(node)
    assert not ("properties" in node and "additionalProperties" in node)
    assert node.get("default", "") is not None


@pytest.mark.parametrize("path", [path for path, _ in ALL_NODES if not path.endswith("]")])
def test_every_field_is_described(path: str):
    assert dict(ALL_NODES)[path]["description"].endswith((".", ")"))


@pytest.mark.parametrize("path", [path for path, node in ALL_NODES if node.get("type") == "array"])
def test_every_list_says_how_it_is_merged(path: str):
    assert "x-kubernetes-list-type" in dict(ALL_NODES)[path]


def test_every_list_map_and_text_of_the_spec_with_a_rule_is_bounded():
    """The API server multiplies the cost of a rule by the size of what it looks at."""
    for path, node in nodes(spec_schema(), "spec"):
        if "x-kubernetes-validations" in node and "properties" not in node:
            assert {"maxItems", "maxProperties", "maxLength"} & set(node), path


def test_numbers_have_a_width_and_exclusive_bounds_are_those_of_openapi_3_0():
    utilization = spec_schema()["properties"]["memory"]["properties"]["gpuUtilization"]

    assert utilization["format"] == "double"
    assert (utilization["minimum"], utilization["exclusiveMinimum"], utilization["maximum"]) == (0, True, 1)


def test_defaults_of_the_schema_are_those_of_the_types():
    """What the API server fills in is what the core would take anyway."""
    filled = {name: field["default"] for name, field in spec_schema()["properties"].items() if "default" in field}

    assert BatchedLLMSpec.model_validate({"model": {"id": "m"}, **filled}) == BatchedLLMSpec.model_validate(
        {"model": {"id": "m"}}
    )
    assert filled["scaling"]["scaleDown"]["periodSeconds"] == 30


def test_optional_objects_are_not_filled_in():
    """`source: {}` would read as if somebody had chosen one."""
    assert "default" not in spec_schema()["properties"]["model"]["properties"]["source"]


@pytest.mark.parametrize("path", RESERVED)
def test_a_reserved_field_is_in_the_schema_so_that_it_is_refused_rather_than_dropped(path: str):
    node = dict(nodes(spec_schema(), "spec"))[path]

    assert node["description"].startswith("Not supported by this version")


def test_names_and_subresources():
    crd = custom_resource_definition()

    assert crd["metadata"]["name"] == "batchedllms.batchedllm.dev"
    assert crd["spec"]["names"]["shortNames"] == ["bllm"]
    assert VERSION["subresources"]["scale"]["labelSelectorPath"] == ".status.selector"


@pytest.mark.parametrize("column", VERSION["additionalPrinterColumns"], ids=lambda column: column["name"])
def test_printer_columns_show_fields_that_exist(column: dict[str, Any]):
    path = column["jsonPath"].split("[?")[0].removeprefix(".")
    known = {path for path, _ in ALL_NODES} | {"metadata.creationTimestamp"}

    assert path in known


def test_the_longest_name_leaves_room_for_the_names_of_pods():
    """Pods are called NAME-<10 characters>-<5>; a label value and a Service name hold 63."""
    name = VERSION["schema"]["openAPIV3Schema"]["properties"]["metadata"]["properties"]["name"]

    assert name["maxLength"] == names.MAX_NAME_LENGTH <= 63 - len("-bcdf456789")
