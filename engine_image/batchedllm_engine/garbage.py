"""How often the API server's Python looks for cyclic garbage.

By default it does after every 700 more containers, and each streamed token makes some: under hundreds of streams a good
part of the time of vLLM's API server goes there. Python frees all that is in no cycle at once, by counting references.
vLLM itself keeps what lives for ever out of it (gc.freeze).
"""

import gc
from typing import Final

CONTAINERS: Final = 10_000
"""More containers between two looks at the youngest of them, which then takes some milliseconds: more would be felt."""
MOST_BY_DEFAULT: Final = 2_000
"""Python's own first threshold is 700, or 2,000 from 3.13 on. One that is larger is somebody's choice."""


def look_for_garbage_rarely() -> None:
    """Set it for this process, unless somebody has."""
    first, *others = gc.get_threshold()
    if 0 < first <= MOST_BY_DEFAULT:
        gc.set_threshold(CONTAINERS, *others)
