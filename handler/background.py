"""The jobs that run beside requests: committing, listening, sampling. None of them may end unnoticed."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import structlog

log = structlog.get_logger(__name__)

BackgroundJob = Callable[[], Coroutine[Any, Any, None]]
"""Runs until it is cancelled."""


def on_stop_request(act: Callable[[], None]) -> None:
    """Act as soon as the server is asked to stop. It tells the application only after open requests have ended."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for how in (signal.SIGTERM, signal.SIGINT):
        servers_own = signal.getsignal(how)

        def stop(number: int, frame: FrameType | None, servers_own: Any = servers_own) -> None:
            loop.call_soon_threadsafe(act)
            if callable(servers_own):
                servers_own(number, frame)

        signal.signal(how, stop)


@asynccontextmanager
async def running(jobs: Sequence[BackgroundJob]) -> AsyncIterator[None]:
    """Run the jobs until the block ends. If one ends by itself, ask the server to stop, so that it is restarted.

    Otherwise the handler would accept requests that it cannot answer.
    """
    tasks = [asyncio.create_task(job(), name=job.__qualname__) for job in jobs]
    for task in tasks:
        task.add_done_callback(_stop_without)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # _stop_without has logged what one of them raised


def _stop_without(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.critical("job_ended", job=task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
