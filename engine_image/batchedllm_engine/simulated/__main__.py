"""Start the simulated engine: see the package's description."""

import asyncio
import contextlib
import signal
import sys
import time

from aiohttp import web

from batchedllm.sim.batch_steps import BatchSteps
from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.step_times import H100_LOAD, H100_STEP_TIMES, H200_LOAD, H200_STEP_TIMES
from batchedllm_engine.simulated.arguments import EngineOptions, parse
from batchedllm_engine.simulated.driver import EngineDriver
from batchedllm_engine.simulated.failures import ENGINE_DEAD, end_at_start, refusal
from batchedllm_engine.simulated.server import EngineServer, drained
from batchedllm_engine.simulated.start import EngineStart, plan_start

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


async def _serve(options: EngineOptions, start: EngineStart) -> None:
    engine = SimulatedEngine(start.settings, *GPUS[options.sim_gpu], batch_steps=BatchSteps())
    driver = EngineDriver(engine, time_scale=options.sim_time_scale, stalled=options.sim_failure == "stall")
    server = EngineServer(options, start, driver)
    runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port, backlog=1024).start()
    _log(f"Application startup complete. Serving {options.served_name} on {options.host}:{options.port}")
    clock = asyncio.create_task(driver.run())
    ended = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait(
        {clock, ended}, timeout=options.crash_after_seconds, return_when=asyncio.FIRST_COMPLETED
    )
    if clock in done:
        clock.result()
    if ended not in done:
        raise SystemExit(refusal(ENGINE_DEAD))
    _log("Shutting down")
    await drained(server, options.shutdown_timeout)
    clock.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await clock
    await runner.cleanup()


if __name__ == "__main__":
    main()
