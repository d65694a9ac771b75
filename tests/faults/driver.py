"""Submits the numbered stream as several real clients would: in singles and batches, and again until accepted."""

import itertools
import queue
import random
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from tests.faults.stream import IMAGES, REPORTS, TEXTS, TRANSLATIONS, Ledger, Submission

MODELS = (REPORTS, REPORTS, REPORTS, TEXTS, TRANSLATIONS, IMAGES)
SIZES: Mapping[str, Sequence[int]] = {
    REPORTS: (1, 1, 1, 1, 1, 1, 1, 1, 5, 20, 150, 500),
    TEXTS: (1, 1, 5, 20),
    TRANSLATIONS: (1, 1, 3, 10),
    IMAGES: (1, 1, 2, 9),
}
"""How large submissions are: most of one input, a few large."""

PRIORITIES = ("high", "normal", "normal", "normal", "low")
DEADLINES = (1, 2, 10, 60)
CALLED_BACK, ENDS, DAMAGED, CANCELLED, REPLAYED = 0.1, 0.1, 0.2, 0.1, 0.5
"""Shares: of submissions with a callback, with a deadline, of images that are damaged, of accepted tasks that are
cancelled, of failed ones that are replayed."""

TIMEOUT = 5
PATIENCE = 0.5
"""Seconds at most between two tries. The Retry-After of a 503 is longer: these clients are impatient."""

BACKLOG = 60
"""Waiting tasks from which on no more is submitted until none waits: a slow machine gets what it can score,
low priority included."""

LOOK_EVERY = 0.5
READ_EVERY = 4
"""One of so many accepted tasks is also read until it has ended, with `Prefer: wait`."""


class Driver:
    """The clients, each in a thread of its own, and as many readers; from `with` to its end."""

    def __init__(
        self,
        urls: Sequence[str],
        ledger: Ledger,
        *,
        name: str,
        seed: int,
        clients: int = 4,
        pause: float = 0.25,
        models: Sequence[str] = MODELS,
        callback: str | None = None,
        key: str | None = None,
    ) -> None:
        """`callback`: where some want to be called back; `key`: the API key that all send."""
        self._urls = urls
        self._ledger = ledger
        self._pause = pause
        self._models = models
        self._callback = callback
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._stopping = threading.Event()
        self._to_read: queue.SimpleQueue[UUID | None] = queue.SimpleQueue()
        self._clients = [
            threading.Thread(target=self._run, args=(f"{name}{number}", seed + number, number % 2 == 0), daemon=True)
            for number in range(clients)
        ]
        self._readers = [threading.Thread(target=self._read, daemon=True) for _ in range(2)]
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._is_behind = False

    def __enter__(self) -> Self:
        for thread in (*self._clients, *self._readers, self._watcher):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in (*self._clients, self._watcher):
            thread.join()
        for _ in self._readers:
            self._to_read.put(None)
        for thread in self._readers:
            thread.join()

    def _run(self, client: str, seed: int, with_keys: bool) -> None:
        chance = random.Random(seed)  # noqa: S311 - to be repeated
        number = 0
        with self._http() as http:
            while not self._stopping.wait(self._pause * chance.uniform(0.5, 1.5)):
                if self._is_behind:
                    continue
                submission = self._next(chance, client, number, with_keys)
                number += submission.size
                task_id = self._submit(http, chance, submission)
                if task_id and chance.random() < CANCELLED:
                    self._cancel(http, chance, task_id)

    def _http(self) -> httpx.Client:
        return httpx.Client(timeout=TIMEOUT, headers=self._headers)

    def _next(self, chance: random.Random, client: str, number: int, with_keys: bool) -> Submission:
        model = chance.choice(self._models)
        damaged = model == IMAGES and chance.random() < DAMAGED
        return Submission(
            client,
            number,
            chance.choice(SIZES[model]),
            f"{client}-{number}" if with_keys else None,
            model,
            chance.choice(PRIORITIES),
            chance.choice(DEADLINES) if chance.random() < ENDS and not damaged else None,
            self._callback if chance.random() < CALLED_BACK else None,
            damaged,
        )

    def _submit(self, http: httpx.Client, chance: random.Random, submission: Submission) -> UUID | None:
        """Try one handler after another until one accepts it, or all is over."""
        headers = {"Idempotency-Key": submission.key} if submission.key else {}
        content = submission.inputs
        path = "/submit" if submission.model == REPORTS else f"/models/{submission.model}/submit"
        while not self._stopping.is_set():
            self._ledger.tried(submission)
            to = chance.choice(self._urls) + path
            answer = self._ask(http, "POST", to, json=content, headers=headers, params=submission.query)
            if answer is not None and answer.status_code == 202:
                task_id = UUID(answer.json()["task_id"])
                self._ledger.was_accepted(task_id, submission)
                if submission.damaged or task_id.int % READ_EVERY == 0:
                    self._to_read.put(task_id)
                return task_id
            if answer is not None and answer.status_code != 500:
                return None
            self._stopping.wait(chance.uniform(0, PATIENCE))
        return None

    def _cancel(self, http: httpx.Client, chance: random.Random, task_id: UUID) -> None:
        """Cancel until a handler says what came of it."""
        self._ledger.cancelled[task_id] = False
        while not self._stopping.is_set():
            url = chance.choice(self._urls)
            answer = self._ask(http, "POST", f"{url}/task/{task_id}/cancel", excused=(200, 409))
            if answer is not None and answer.status_code != 500:
                self._ledger.cancelled[task_id] = answer.status_code == 200
                return
            self._stopping.wait(chance.uniform(0, PATIENCE))

    def _watch(self) -> None:
        """Look how many tasks wait; while nobody says, what was seen last counts."""
        with self._http() as http:
            for url in itertools.cycle(self._urls):
                if self._stopping.wait(LOOK_EVERY):
                    return
                waiting = self._ask(http, "GET", f"{url}/tasks?status=PENDING&limit={BACKLOG}", excused=(200,))
                if waiting is not None and waiting.status_code == 200:
                    tasks = len(waiting.json()["tasks"])
                    self._is_behind = tasks == BACKLOG or (self._is_behind and tasks > 0)

    def _read(self) -> None:
        with self._http() as http:
            handlers = itertools.cycle(self._urls)
            while task_id := self._to_read.get():
                if not self._ended(http, next(handlers), task_id) and not self._stopping.is_set():
                    self._stopping.wait(0.1)
                    self._to_read.put(task_id)

    def _ended(self, http: httpx.Client, url: str, task_id: UUID) -> bool:
        """Read a task, holding on for a second, and say whether that is enough."""
        answer = self._ask(http, "GET", f"{url}/task/{task_id}", excused=(200,), headers={"Prefer": "wait=1"})
        if answer is None or answer.status_code == 500:
            return False
        if answer.status_code != 200:
            return True
        task = answer.json()
        if task["status"] == "SUCCESS":
            self._ledger.read[task_id] = task
        if task["status"] == "FAILURE" and random.random() < REPLAYED:  # noqa: S311
            replayed = self._ask(http, "POST", f"{url}/task/{task_id}/replay", excused=(202, 409))
            if replayed is not None and replayed.status_code == 202:
                self._ledger.replayed[task_id] += 1
            return False
        return task["status"] not in ("PENDING", "STARTED")

    def _ask(
        self, http: httpx.Client, method: str, url: str, *, excused: Sequence[int] = (202,), **request: Any
    ) -> httpx.Response | None:
        """Ask a handler. None: no answer, or 503. What is neither that nor `excused` is noted as broken."""
        which = "" if method == "POST" else "GET "
        try:
            answer = http.request(method, url, **request)
        except httpx.TransportError as error:
            self._ledger.answered(f"{which}{type(error).__name__}")
            return None
        self._ledger.answered(f"{which}{answer.status_code}")
        if answer.status_code == 503:
            return None
        if answer.status_code not in excused:
            path = httpx.URL(url).path
            self._ledger.broken.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer
