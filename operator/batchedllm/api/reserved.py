"""Fields that are planned and not there yet: refused with words, so that nobody believes they work.

An unknown field is refused by `kubectl`, but a client that does not ask for strict validation gets a mere
warning while the API server drops the field. These names are known from the design of the resource, so people
will try them: the schema declares each, and a CEL rule of its parent refuses it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Shape = Literal["integer", "string", "quantity", "object", "list"]


class Reserved(NamedTuple):
    """A field that a later version will have."""

    shape: Shape
    """What the API server lets through as far as the rule that refuses it."""
    meaning: str
    """What it will do."""
    instead: str
    """What to do until then."""


RESERVED: Final[Mapping[str, Reserved]] = MappingProxyType(
    {
        "spec.model.source.hostPath": Reserved(
            "object", "the model lies in a folder of the node", "use model.source.pvc with a local volume"
        ),
        "spec.model.source.image": Reserved(
            "object", "the model is an OCI image that is mounted", "put the model into engine.image, or use a pvc"
        ),
        "spec.model.source.s3": Reserved("object", "the model lies in an S3 bucket", "use model.source.pvc"),
    }
)
"""Reserved fields by their path; `[]` stands for every entry of a list."""


def refusal(path: str) -> str:
    """The words with which the field at `path` is refused."""
    reserved = RESERVED[path]
    return f"is not supported by this version ({reserved.meaning}); until it is: {reserved.instead}"
