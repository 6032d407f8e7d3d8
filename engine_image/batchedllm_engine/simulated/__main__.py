"""Start the simulated engine: see the package's description."""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator

import uvicorn
from prometheus_client import REGISTRY

from batchedllm.sim.batch_steps import BatchSteps
from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.step_times import H100_LOAD, H100_STEP_TIMES, H200_LOAD, H200_STEP_TIMES
from batchedllm_engine.simulated.arguments import EngineOptions, parse
from batchedllm_engine.simulated.driver import EngineDriver
from batchedllm_engine.simulated.failures import ENGINE_DEAD, end_at_start, refusal
from batchedllm_engine.simulated.server import EngineServer, drained
from batchedllm_engine.simulated.start import EngineStart, plan_start

KEEP_ALIVE_SECONDS = 5
"""vLLM's VLLM_HTTP_TIMEOUT_KEEP_ALIVE."""
CUT_SECONDS = 1
"""For answers that the drain did not wait for; then they are cut."""
GPUS = {"H200": (H200_STEP_TIMES, H200_LOAD), "H100": (H100_STEP_TIMES, H100_LOAD)}


def main() -> None:
    """Run until SIGTERM, or end as a failed vLLM does: exit code 1 and the reason on stderr."""
    options = parse(sys.argv[1:])
    end_at_start(options.sim_failure)
    try:
        start = plan_start(options)
    except ValueError as error:
        raise SystemExit(refusal(f"ValueError: {error}")) from None
    for line in start.log:
        _log(line)
    time.sleep(options.sim_startup_seconds / options.sim_time_scale)
    asyncio.run(_serve(options, start))


def _log(line: str) -> None:
    sys.stderr.write(f"INFO {line}\n")


class _Server(uvicorn.Server):
    """Leaves signals to whoever waits for them, as vLLM's does, and says when it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _log(f"Application startup complete. Serving on {self.config.host}:{self.config.port}")


async def _serve(options: EngineOptions, start: EngineStart) -> None:
    engine = SimulatedEngine(start.settings, *GPUS[options.sim_gpu], batch_steps=BatchSteps())
    driver = EngineDriver(engine, time_scale=options.sim_time_scale, stalled=options.sim_failure == "stall")
    server = EngineServer(options, start, driver, registry=REGISTRY)
    application = server.application()
    web = application.state.server = _Server(
        uvicorn.Config(
            application,
            options.host,
            options.port,
            backlog=1024,
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=CUT_SECONDS,
        )
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = asyncio.create_task(driver.run())
    ended = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(web.serve())
    done, _ = await asyncio.wait(
        {clock, ended, serving}, timeout=options.crash_after_seconds, return_when=asyncio.FIRST_COMPLETED
    )
    if clock in done:
        clock.result()
    if not done:
        raise SystemExit(refusal(ENGINE_DEAD))
    _log("Shutting down")
    if serving not in done:
        await drained(server, options.shutdown_timeout)
        web.should_exit = True
    await serving
    clock.cancel()
    ended.cancel()


if __name__ == "__main__":
    main()
