"""The experiments, by name, in the order of their worth: what comes late may not be reached.

Each module has `run(scene, measured)`, which fills in what it measured as JSON while it goes on, and `judge(measured)`,
which is pure and says what that has to show. `LEAST_SECONDS` is what it needs, `LEAST_GPUS` (default 1) on how many
GPUs; with less it is not begun.
"""

from types import ModuleType

from gpu.cases import (
    agreement,
    api_server,
    burst,
    engine_bench,
    guard,
    overhead,
    plan_actual,
    priority,
    refusal,
    restart,
    startup,
    tensor_parallel,
)

CASES: dict[str, ModuleType] = {
    "plan-actual": plan_actual,
    "overhead": overhead,
    "api-server": api_server,
    "engine-bench": engine_bench,
    "burst": burst,
    "guard": guard,
    "refusal": refusal,
    "priority": priority,
    "restart": restart,
    "startup": startup,
    "tensor-parallel": tensor_parallel,
    "agreement": agreement,
}
