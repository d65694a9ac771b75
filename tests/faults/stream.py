"""The numbered inputs: all of one follows from its client and its number, so that a checker can recompute it."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID


def report(client: str, number: int) -> dict[str, object]:
    """Return an input of the report scorer."""
    return {
        "abuse_type": ("MSG", "PRF")[number % 2],
        "report_text_len": number * 37 % 500,
        "profile_rating": number * 7 % 51 / 10,
        "popularity": number % 6,
        "lifetime_matches_created": number * 13 % 1000,
        "report_id": f"{client}-{number}",
    }


def report_of(report_id: str) -> dict[str, object]:
    """Return the input that has this report_id. Raises ValueError for an id that is not one of the stream's."""
    client, _, number = report_id.rpartition("-")
    return report(client, int(number))


@dataclass(frozen=True)
class Submission:
    """What a client means to submit once, however often it has to try."""

    client: str
    first: int
    size: int
    key: str | None = None
    """Its Idempotency-Key."""

    @property
    def report_ids(self) -> list[str]:
        return [f"{self.client}-{number}" for number in range(self.first, self.first + self.size)]

    @property
    def reports(self) -> list[dict[str, object]]:
        return [report(self.client, number) for number in range(self.first, self.first + self.size)]


@dataclass
class Ledger:
    """What the clients know: what they tried, what was accepted, what they read. Shared by their threads."""

    tries: Counter[Submission] = field(default_factory=Counter)
    accepted: dict[UUID, Submission] = field(default_factory=dict)
    read: dict[UUID, list[float]] = field(default_factory=dict)
    """The scores that a client was given."""
    answers: Counter[str] = field(default_factory=Counter)
    """How often which status or error came back."""
    broken: list[str] = field(default_factory=list)
    """Answers that no fault excuses."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tried(self, submission: Submission) -> None:
        with self._lock:
            self.tries[submission] += 1

    def answered(self, answer: str) -> None:
        with self._lock:
            self.answers[answer] += 1

    def was_accepted(self, task_id: UUID, submission: Submission) -> None:
        with self._lock:
            if self.accepted.setdefault(task_id, submission) != submission:
                self.broken.append(f"task {task_id} was given to two submissions")

    def by_first_input(self) -> Iterator[tuple[str, Submission]]:
        return ((submission.report_ids[0], submission) for submission in self.tries)
