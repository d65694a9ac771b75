"""What a worker process does: load the models, then score one job after the other."""

import os
import select
import signal
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from pkgutil import resolve_name
from threading import Thread
from typing import Any, NamedTuple

from pool import wire
from pool.errors import ScoreFailed, WorkerTraceback

# The kinds of messages: to the worker, and from it.
SCORE, STOP = "score", "stop"
READY, NOT_LOADED, RESULT, ERROR = "ready", "not loaded", "result", "error"


class Model(NamedTuple):
    """How a model gets into memory, and what is done with it there: `score(model, *args, **kwargs)`.

    Either may be a name, "package.module:function": only the workers import it then.
    """

    load: Callable[[], Any] | str
    score: Callable[..., Any] | str


LoadedRuntime = tuple[Any, Callable[..., Any]]
"""A model in memory, and its `score`."""


def work(connection: Connection, starts: Semaphore, models: Mapping[str, Model]) -> None:
    """Serve the pool until it says stop, or is gone.

    For each job the worker takes one of `starts`. The pool puts in as many as it sends jobs, and can take back what is
    left: so both agree on which jobs are started, whatever becomes of this process. For the first job of a message one
    is always there or about to be. The next is taken before the answer goes out: after it, what is in there may belong
    to the next message.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C and a container's stop reach every process; the pool decides what they mean. Not SIG_IGN: what
        # `score` starts would inherit it.
        signal.signal(number, lambda *_: None)
    Thread(target=_die_with_the_pool, args=(connection.fileno(),), daemon=True).start()
    with suppress(EOFError, ConnectionError):  # the pool is gone, and so will this process be
        loaded = _load(connection, models)
        if loaded is None:
            return
        wire.send(connection, READY)
        while True:
            kind, calls = wire.receive(connection)
            if kind == STOP:
                return
            starts.acquire()
            for position, call in enumerate(calls, start=1):
                answer = _score(loaded, call)
                goes_on = position < len(calls) and starts.acquire(block=False)
                wire.send(connection, *answer)
                if not goes_on:
                    break


def _die_with_the_pool(connection: int) -> None:
    """End this process, whatever it is doing, when nobody holds the other end of the connection any more."""
    poll = select.poll()
    poll.register(connection, 0)  # no event but the hang-up
    poll.poll()
    os._exit(1)


def _named(function: Callable[..., Any] | str) -> Callable[..., Any]:
    return resolve_name(function) if isinstance(function, str) else function


def _load(connection: Connection, models: Mapping[str, Model]) -> dict[str, LoadedRuntime] | None:
    loaded = {}
    for name, model in models.items():
        try:
            loaded[name] = _named(model.load)(), _named(model.score)
        except BaseException as error:
            wire.send(connection, NOT_LOADED, [_report(error)])
            return None
    return loaded


def _score(loaded: Mapping[str, LoadedRuntime], call: wire.Parcel) -> tuple[str, list[wire.Parcel]]:
    try:
        name, many, inputs = wire.unpack(call)
        model, score = loaded[name]
        results = [score(model, *args, **kwargs) for args, kwargs in inputs]
        return RESULT, [wire.pack(results if many else results[0])]
    except BaseException as error:
        return ERROR, [_report(error)]


def _report(error: BaseException) -> wire.Parcel:
    """Pack an error with its traceback; one that would not arrive, or would do harm there, is put into words."""
    text = "".join(traceback.format_exception(error))
    # asyncio cannot raise a StopIteration, and SystemExit is not meant for the pool's process.
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        with suppress(Exception):
            parcel = wire.pack((error, text))
            wire.unpack(parcel)
            return parcel
    return wire.pack((ScoreFailed(f"{type(error).__name__}: {error}"), text))


def reported(parcel: wire.Parcel) -> BaseException:
    """Return the error that a worker packed; its cause is the traceback there."""
    try:
        error, text = wire.unpack(parcel)
    except Exception as unreadable:  # its class cannot be imported here, say
        return unreadable
    error.__cause__ = WorkerTraceback(text)
    return error  # type: ignore[no-any-return]
