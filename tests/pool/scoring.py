"""What the pools of the tests load and score: real functions in real processes that do what can go wrong."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FIRST = "first"  # the file by which a job knows that it runs for the first time


def load(record: Path | None = None) -> int:
    """The model is the id of the process that loaded it."""
    if record:
        with record.open("a") as file:
            file.write(f"{os.getpid()}\n")
    return os.getpid()


def load_slowly(record: Path) -> int:
    time.sleep(0.3)
    return load(record)


def load_badly(path: str) -> int:
    raise FileNotFoundError(f"no model in {path}")


def load_and_die() -> int:
    os._exit(3)


def load_for_ever() -> int:
    time.sleep(1000)
    return 0


def load_unless(forbidden: Path) -> int:
    if forbidden.exists():
        raise FileNotFoundError("the model file is gone")
    return os.getpid()


class Unreadable(Exception):
    """Can be pickled, and not unpickled again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def _twice(model: int, folder: Path) -> str:
    """Die at the first attempt."""
    if not (folder / FIRST).exists():
        (folder / FIRST).touch()
        os._exit(1)
    return "second attempt"


def _fork_and_die(model: int) -> None:
    """Die, and leave a process behind that has all this one's connections."""
    if os.fork() == 0:
        time.sleep(3)
    os._exit(1)


def _tell(model: int, path: Path, line: str = "x") -> str:
    with path.open("a") as file:
        file.write(line + "\n")
    return line


def _announce(model: int, path: Path) -> None:
    path.touch()
    time.sleep(100)


def _spin(model: int) -> None:
    while True:
        pass


def _exit(model: int) -> None:
    sys.exit(4)


def _raise(model: int, error: Exception) -> None:
    raise error


def _raise_unreadable(model: int) -> None:
    raise Unreadable("one", "two")


def _stop_iteration(model: int) -> Any:
    return next(iter(()))


def _wait_for(model: int, path: Path) -> str:
    while not path.exists():
        time.sleep(0.01)
    return "released"


ACTIONS: dict[str, Callable[..., Any]] = {
    "model": lambda model: model,
    "pid": lambda model: os.getpid(),
    "echo": lambda model, value=None: value,
    "sleep": lambda model, seconds: time.sleep(seconds),
    "die": lambda model, *_: os._exit(7),
    "kill": lambda model: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda model: ctypes.string_at(0),
    "unpicklable": lambda model: lambda: None,
    "add one": lambda model, array: array + 1,
    "write into": lambda model, array: array.fill(7) or float(array.sum()),
    "cancelled": lambda model: (_ for _ in ()).throw(asyncio.CancelledError()),
    "twice": _twice,
    "fork and die": _fork_and_die,
    "tell": _tell,
    "announce": _announce,
    "spin": _spin,
    "exit": _exit,
    "raise": _raise,
    "raise unreadable": _raise_unreadable,
    "stop iteration": _stop_iteration,
    "wait for": _wait_for,
}


def score(model: int, action: str, *args: Any, **kwargs: Any) -> Any:
    return ACTIONS[action](model, *args, **kwargs)


def double(model: int, x: float) -> float:
    return 2 * x


def lines(path: Path) -> Iterator[str]:
    yield from path.read_text().splitlines() if path.exists() else ()
