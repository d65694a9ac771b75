"""Submits the numbered stream as several real clients would: in singles and batches, and again until accepted."""

import itertools
import queue
import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx

from tests.faults.stream import Ledger, Submission

SIZES = (1, 1, 1, 1, 1, 1, 1, 1, 5, 20, 150, 500)
"""How large submissions are: most of one input, a few large."""

TIMEOUT = 5
PATIENCE = 0.5
"""Seconds at most between two tries. The Retry-After of a 503 is longer: these clients are impatient."""

READ_EVERY = 4
"""One of so many accepted tasks is also read until it has ended, with `Prefer: wait`."""


class Driver:
    """The clients, each in a thread of its own, and as many readers; from `with` to its end."""

    def __init__(
        self, urls: Sequence[str], ledger: Ledger, *, name: str, seed: int, clients: int = 4, pause: float = 0.15
    ) -> None:
        self._urls = urls
        self._ledger = ledger
        self._pause = pause
        self._stopping = threading.Event()
        self._to_read: queue.SimpleQueue[UUID | None] = queue.SimpleQueue()
        self._clients = [
            threading.Thread(target=self._run, args=(f"{name}{number}", seed + number, number % 2 == 0), daemon=True)
            for number in range(clients)
        ]
        self._readers = [threading.Thread(target=self._read, daemon=True) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in (*self._clients, *self._readers):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._clients:
            thread.join()
        for _ in self._readers:
            self._to_read.put(None)
        for thread in self._readers:
            thread.join()

    def _run(self, client: str, seed: int, with_keys: bool) -> None:
        chance = random.Random(seed)  # noqa: S311 - to be repeated
        number = 0
        with httpx.Client(timeout=TIMEOUT) as http:
            while not self._stopping.wait(self._pause * chance.uniform(0.5, 1.5)):
                size = chance.choice(SIZES)
                key = f"{client}-{number}" if with_keys else None
                self._submit(http, chance, Submission(client, number, size, key))
                number += size

    def _submit(self, http: httpx.Client, chance: random.Random, submission: Submission) -> None:
        """Try one handler after another until one accepts it, or all is over."""
        headers = {"Idempotency-Key": submission.key} if submission.key else {}
        content = submission.reports
        while not self._stopping.is_set():
            self._ledger.tried(submission)
            try:
                answer = http.post(f"{chance.choice(self._urls)}/submit", json=content, headers=headers)
            except httpx.TransportError as error:
                self._ledger.answered(type(error).__name__)
            else:
                self._ledger.answered(str(answer.status_code))
                if answer.status_code == 202:
                    task_id = UUID(answer.json()["task_id"])
                    self._ledger.was_accepted(task_id, submission)
                    if task_id.int % READ_EVERY == 0:
                        self._to_read.put(task_id)
                    return
                if answer.status_code != 503:
                    self._ledger.broken.append(f"POST /submit: {answer.status_code} {answer.text[:200]}")
                    if answer.status_code != 500:
                        return
            self._stopping.wait(chance.uniform(0, PATIENCE))

    def _read(self) -> None:
        with httpx.Client(timeout=TIMEOUT) as http:
            handlers = itertools.cycle(self._urls)
            while task_id := self._to_read.get():
                if not self._ended(http, next(handlers), task_id) and not self._stopping.is_set():
                    self._stopping.wait(0.1)
                    self._to_read.put(task_id)

    def _ended(self, http: httpx.Client, url: str, task_id: UUID) -> bool:
        """Read a task, holding on for a second, and say whether that is enough."""
        try:
            answer = http.get(f"{url}/task/{task_id}", headers={"Prefer": "wait=1"})
        except httpx.TransportError as error:
            self._ledger.answered(f"GET {type(error).__name__}")
            return False
        self._ledger.answered(f"GET {answer.status_code}")
        if answer.status_code == 503:
            return False
        if answer.status_code != 200:
            self._ledger.broken.append(f"GET /task/{task_id}: {answer.status_code} {answer.text[:200]}")
            return answer.status_code != 500
        task = answer.json()
        if task["status"] == "SUCCESS":
            self._ledger.read[task_id] = task["score"]
        return task["status"] not in ("PENDING", "STARTED")
