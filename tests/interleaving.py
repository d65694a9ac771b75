"""Runs two transactions statement by statement, on connections of their own, in every order that their locks allow."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event, text

from store.engine import connect

GLANCE = 0.002
"""Seconds that a statement has before PostgreSQL is asked whether it waits for a lock."""

LONG = 20.0
"""Seconds after which a step that neither ends nor waits for a lock is a fault."""


class Side:
    """A connection whose thread stops before each statement, and before the commit."""

    def __init__(self, database_url: str) -> None:
        self.engine = connect(database_url, pool_size=1)
        with self.engine.connect() as connection:
            self.pid = connection.scalar(text("SELECT pg_backend_pid()"))
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        event.listen(self.engine, "before_cursor_execute", lambda *_: self._stop())
        event.listen(self.engine, "commit", lambda _: self._stop())

    def begin(self, transaction: Callable[[Connection], Any]) -> None:
        """Start a transaction, and have it stop before its first statement."""
        self.over, self.blocked = False, False
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=[transaction])
        self._thread.start()
        assert self._stopped.acquire(timeout=LONG)

    def step(self, observer: Connection) -> None:
        """Let it go on to its next statement, or until it waits for a lock."""
        self._go.release()
        self.wait(observer)

    def wait(self, observer: Connection) -> None:
        for _ in range(int(LONG / GLANCE)):
            if self._stopped.acquire(timeout=GLANCE):
                self.blocked = False
                return
            if observer.scalar(_WAITS, {"pid": self.pid}):
                self.blocked = True
                return
        raise AssertionError("a statement neither ends nor waits for a lock")

    def _stop(self) -> None:
        self._stopped.release()
        assert self._go.acquire(timeout=LONG)

    def _run(self, transaction: Callable[[Connection], Any]) -> None:
        try:
            with self.engine.begin() as connection:
                self.result = transaction(connection)
        except BaseException as error:
            self.error = error
        self.over = True
        self._stopped.release()


_WAITS = text("SELECT cardinality(pg_blocking_pids(:pid)) > 0")

Schedule = tuple[int, ...]
"""Which of the two goes on, step by step."""


def every_interleaving(
    sides: tuple[Side, Side],
    observer: Engine,
    prepare: Callable[[], tuple[Callable[[Connection], Any], Callable[[Connection], Any]]],
) -> Iterator[Schedule]:
    """Yield after each way in which the two transactions of `prepare` can go, which it is asked for anew each time.

    A transaction that waits for the other's lock goes on by itself when the other has ended.
    """
    todo: list[Schedule] = [()]
    with observer.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        while todo:
            prefix = todo.pop()
            taken: Schedule = ()
            for side, transaction in zip(sides, prepare(), strict=True):
                side.begin(transaction)
            while not all(side.over for side in sides):
                free = [number for number, side in enumerate(sides) if not side.over and not side.blocked]
                assert free, f"deadlock: each waits for the other, after {taken}"
                chosen = prefix[len(taken)] if len(taken) < len(prefix) else free[0]
                if len(taken) >= len(prefix):
                    todo += [(*taken, other) for other in free[1:]]
                taken = (*taken, chosen)
                sides[chosen].step(connection)
                for side in sides:
                    if side.blocked and side is not sides[chosen]:
                        side.wait(connection)
            yield taken
