"""One call of `score`, and the future of what it returns."""

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from pool.process import ERROR, reported
from pool.wire import Parcel, unpack


class Job(Future[Any]):
    """A future that can also be cancelled while it runs.

    To `concurrent.futures` it is pending until it is done: so cancelling works at any moment, and what comes from the
    worker afterwards is dropped.
    """

    def __init__(
        self,
        model: str,
        call: Parcel,
        *,
        calls: int,
        timeout: float | None,
        retry: bool,
        withdraw: Callable[["Job"], None],
    ) -> None:
        super().__init__()
        self.model = model
        self.call = call
        self.calls = calls
        self.timeout = timeout
        self.retry = retry
        self.is_running = False
        self.cancelled_at: float | None = None
        self._withdraw = withdraw

    def running(self) -> bool:
        return self.is_running and not self.done()

    def cancel(self) -> bool:
        """Cancel the job; return False when it was done before.

        One that runs has the pool's `cancel_grace` to come to its end; then its process is ended and replaced.
        """
        if not super().cancel():
            return False
        self._withdraw(self)
        return True

    def end(self, kind: str, answer: Parcel) -> None:
        """Take the worker's answer."""
        try:
            if kind == ERROR:
                self.fail(reported(answer))
                return
            result = unpack(answer)
        except Exception as error:  # its class cannot be imported here, say
            self.fail(error)
            return
        with suppress(InvalidStateError):  # cancelled meanwhile
            self.set_result(result)

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):
            self.set_exception(error)
