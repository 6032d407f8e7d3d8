"""Which class a request is of."""

from batchedllm_engine.middleware.configuration import Configuration, ServiceClass
from batchedllm_engine.middleware.keys import ApiKey
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused


def choose_class(asked: str | None, key: ApiKey | None, configuration: Configuration) -> ServiceClass:
    """Return the class that the header asks for, else the key's, else the default.

    Raise Refused for a class that does not exist, and for one above the key's: a header can lower a request, and
    only a key can raise it.
    """
    own = configuration.default_class if key is None else configuration.find_class(key.service_class)
    if own is None:  # keys are checked against the classes whenever either changes
        raise Refused(Refusal(Reason.BAD_CLASS, "The class of this key is no more; ask whoever gave out the key."))
    if asked is None:
        return own
    wanted = configuration.find_class(asked)
    if wanted is None:
        names = ", ".join(one.name for one in configuration.classes)
        raise Refused(Refusal(Reason.BAD_CLASS, f"There is no class {asked[:63]!r}; expected one of: {names}."))
    may_use = not wanted.key_only if key is None else wanted.rank >= own.rank
    if not may_use:
        held = "without a key" if key is None else f"with a key of class {own.name!r}"
        raise Refused(Refusal(Reason.BAD_CLASS, f"Class {wanted.name!r} cannot be asked for {held}."))
    return wanted
