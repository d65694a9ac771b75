"""Processes that a test watches: any of them may end between two looks at it."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil  # type: ignore[import-untyped]


def descendants(pid: int, *words: str) -> list[psutil.Process]:
    """Return the processes below this one whose command lines have all these words; none where it has ended."""
    try:
        below: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in below if all(word in command(process) for word in words)]


def command(process: psutil.Process) -> str:
    """Return its command line, empty where it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if is_alive(process)]


def resident(pid: int) -> list[int]:
    """Return the resident bytes of a process and of each below it."""
    return _measured(pid, lambda process: int(process.memory_info().rss))


def own_memory(pid: int) -> int:
    """Return the bytes that a process and those below it have to themselves."""
    return sum(_measured(pid, lambda process: int(process.memory_full_info().uss)))


def _measured(pid: int, measure: Callable[[psutil.Process], int]) -> list[int]:
    found = []
    for process in (psutil.Process(pid), *descendants(pid)):
        with suppress(psutil.NoSuchProcess):
            found.append(measure(process))
    return found
