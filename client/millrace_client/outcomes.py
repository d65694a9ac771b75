"""Outcomes of predictions: requests that report or list them, and whole files of them."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from millrace_client import formats, reading
from millrace_client.exchange import Call, Deadline, Operation, exchange
from millrace_client.parts import CannotRead, Columns, FilePart

if TYPE_CHECKING:
    from millrace_client.client import Client

MAX_ROWS = 10_000
"""Outcomes in one request."""

IN_FLIGHT = 4
"""Parts of a file that are sent at once."""

MAX_SEVERAL = 100
"""Keys that are listed because they fit several predictions; all that the server lists are counted."""


@dataclass(frozen=True)
class OutcomeCounts:
    """What became of reported outcomes. `several` lists, for some, the key and how many predictions it fits."""

    stored: int = 0
    repeated: int = 0
    matched: int = 0
    waiting: int = 0
    several: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def __add__(self, other: "OutcomeCounts") -> "OutcomeCounts":
        return OutcomeCounts(
            self.stored + other.stored,
            self.repeated + other.repeated,
            self.matched + other.matched,
            self.waiting + other.waiting,
            [*self.several, *other.several][:MAX_SEVERAL],
        )

    @property
    def reported(self) -> int:
        return self.stored + self.repeated


def send(body: bytes, content_type: str, model: str | None, deadline: Deadline) -> Operation[OutcomeCounts]:
    """Report outcomes. It can be repeated without harm: the server stores each once."""
    params = {"model": model} if model is not None else {}
    reply = yield from exchange(Call("POST", "/outcomes", params, {"Content-Type": content_type}, body), deadline)
    answer = reply.json()
    several = [{"key": one["key"], "predictions": one["predictions"]} for one in answer.pop("several")]
    return OutcomeCounts(**answer, several=several)


def send_all(parts: Iterator[tuple[bytes, str]], model: str | None, deadline: Deadline) -> Operation[OutcomeCounts]:
    """Report the outcomes of several bodies, one request after another."""
    total = OutcomeCounts()
    for body, kind in parts:
        total += yield from send(body, kind, model, deadline)
    return total


def page(filters: Mapping[str, str], deadline: Deadline) -> Operation[tuple[list[Mapping[str, Any]], str | None]]:
    """Return a page of outcomes, the ones stored last first, and what to ask for as `before` next."""
    reply = yield from exchange(Call("GET", "/outcomes", filters), deadline)
    answer = json.loads(reply.content)
    return answer["outcomes"], None if answer["next"] is None else str(answer["next"])


def send_file(
    client: "Client",
    path: Any,
    *,
    model: str | None = None,
    columns: Columns | None = None,
    input_format: str | None = None,
    encoding: str | None = None,
    batch: int = MAX_ROWS,
    timeout: float = 24 * 3600,
    progress: Callable[[OutcomeCounts], None] = lambda _: None,
) -> OutcomeCounts:
    """Report the outcomes of a file: CSV, TSV, NDJSON, JSON, Parquet or Arrow, here or at a URL, of any size.

    Sent again after an interruption, it changes nothing of what is stored. Raises MillraceError.
    """
    name, deadline, total = os.fspath(path), Deadline(timeout), OutcomeCounts()
    form = formats.format_of(name, input_format)
    sending: deque[tuple[FilePart, Future[OutcomeCounts]]] = deque()
    stopped = Event()

    def settle() -> None:
        nonlocal total
        part, one = sending.popleft()
        counts = one.result()
        if counts.reported != part.n_rows:
            read, lines = counts.reported, part.n_rows
            raise CannotRead(f"the server reads {read} rows where the file has {lines} lines: write line ends as \\n")
        total += counts
        progress(total)

    with formats.opened(name, form) as file, ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="send") as pool:
        try:
            for part in reading.parts(file, form, columns or Columns(), max_rows=batch, encoding=encoding):
                step = send(part.body, part.content_type, model, Deadline(deadline.left))
                sending.append((part, pool.submit(client.run, step, stopped)))
                while len(sending) >= IN_FLIGHT:
                    settle()
            while sending:
                settle()
        except BaseException:
            stopped.set()
            for _, one in sending:
                one.cancel()
            raise
    if not total.reported:
        raise CannotRead("the file has no rows")
    return total
