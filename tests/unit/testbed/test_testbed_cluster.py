"""When a CustomResourceDefinition serves, whatever the API server has told of it so far."""

import pytest

from testbed.cluster import is_established

NAMES = {"type": "NamesAccepted", "status": "True"}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"status": None},
        {"status": {"conditions": None}},
        {"status": {"conditions": [NAMES]}},
        {"status": {"conditions": [NAMES, {"type": "Established", "status": "False"}]}},
    ],
)
def test_a_definition_that_is_new_does_not_serve_yet(told):
    assert not is_established(told)


def test_it_serves_once_it_is_established():
    assert is_established({"status": {"conditions": [NAMES, {"type": "Established", "status": "True"}]}})
