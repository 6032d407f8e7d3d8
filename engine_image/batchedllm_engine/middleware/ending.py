"""The end of the process: SIGTERM, the drain, and an end that nothing can hold up.

vLLM on its own stops its engine at once or after --shutdown-timeout, answers new requests with 500 meanwhile, and
then waits for ever for streams that its stopped engine no longer feeds. Here its handler of SIGTERM is replaced while
requests are answered: vLLM is told to end once nothing is open any more, which it then does by itself.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

from batchedllm_engine.middleware.configuration import Drain
from batchedllm_engine.middleware.log import LOG

HELD_UP: Final = 1
"""Exit code of a process that did not end by itself in time."""


class Ending:
    """Ends one process. `drain` answers what is open, within the seconds that it is given."""

    def __init__(self, bounds: Callable[[], Drain], drain: Callable[[float], Awaitable[None]]) -> None:
        self._bounds = bounds
        self._drain = drain
        self._task: asyncio.Task[None] | None = None

    def listen(self, server: Any) -> bool:  # noqa: ANN401 - uvicorn's Server, which is not imported for one attribute
        """Take SIGTERM from the server; tell whether that could be done."""
        if not hasattr(server, "should_exit"):
            LOG.warning("the server cannot be asked to end, so SIGTERM is left to it: requests are not drained here")
            return False
        if threading.current_thread() is not threading.main_thread():
            LOG.warning("not in the main thread, where alone signals arrive: SIGTERM is left to the server")
            return False
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._begin, server)
            return True
        return False

    def _begin(self, server: Any) -> None:  # noqa: ANN401
        if self._task is None:
            self._task = asyncio.create_task(self._end(server))

    async def _end(self, server: Any) -> None:  # noqa: ANN401
        bounds = self._bounds()
        backstop = threading.Timer(bounds.seconds + bounds.exit_seconds, _end_now)
        backstop.daemon = True
        backstop.start()
        LOG.info("SIGTERM: new requests are refused; those accepted have %g s", bounds.seconds)
        try:
            await self._drain(bounds.seconds)
        finally:
            LOG.info("drained; the server ends")
            server.should_exit = True


def _end_now() -> None:
    LOG.error("the process did not end in time after the drain and is ended now")
    os._exit(HELD_UP)
