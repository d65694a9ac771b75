"""What goes on in a handler beside its requests: committing, listening, sampling. None of it may end unnoticed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

log = structlog.get_logger(__name__)

Part = Callable[[], Coroutine[Any, Any, None]]
"""Goes on until it is cancelled."""


@asynccontextmanager
async def running(parts: Sequence[Part]) -> AsyncIterator[None]:
    """Run the parts until the block ends. If one ends by itself, the server is asked to stop, to be started anew.

    Without it, the handler would go on taking requests that it cannot answer.
    """
    tasks = [asyncio.create_task(part(), name=part.__qualname__) for part in parts]
    for task in tasks:
        task.add_done_callback(_stop_without)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # what one of them raised has been told


def _stop_without(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.critical("part_ended", part=task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
