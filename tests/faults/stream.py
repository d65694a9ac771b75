"""The numbered inputs: all of one follows from its model, client and number, so that a checker can recompute it."""

import json
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from models.image_classifier.examples import EIGHT
from serving.catalogue import specs
from tests.images import png

REPORTS, TEXTS, TRANSLATIONS, IMAGES = "report_scorer", "text_classifier", "translator", "image_classifier"
SENTENCES = (
    "The goalie made 40 saves and the Penguins won in overtime.",
    "NASA moved the launch of the shuttle by a week.",
    "The key has 128 bits, and the cipher is public.",
)
PHRASES = ("Life is like a box of chocolates.", "Good morning.", "Good evening.")
LANGUAGES = ("ja", "fr", "de")
DAMAGED = b64encode(png(8, 8)).decode()
"""An image whose head is right and whose pixels are not: only a worker finds out."""


def _report(number: int) -> dict[str, object]:
    return {
        "abuse_type": ("MSG", "PRF")[number % 2],
        "report_text_len": number * 37 % 500,
        "profile_rating": number * 7 % 51 / 10,
        "popularity": number % 6,
        "lifetime_matches_created": number * 13 % 1000,
    }


def _text(number: int) -> dict[str, object]:
    return {"text": f"{SENTENCES[number % 3]} {number % 7}"}


def _translation(number: int) -> dict[str, object]:
    return {"text": PHRASES[number % 3], "source": "en", "target": LANGUAGES[number // 3 % 3]}


def _image(number: int) -> dict[str, object]:
    return {"image": EIGHT, "top_n": 1 + number % 10}


_INPUTS = {REPORTS: _report, TEXTS: _text, TRANSLATIONS: _translation, IMAGES: _image}


def features_of(model: str, input_id: str) -> dict[str, object]:
    """Return the input with this id, without the id. Raises ValueError for an id that is not one of the stream's."""
    return _INPUTS[model](int(input_id.rpartition("-")[2]))


@dataclass(frozen=True)
class Submission:
    """What a client means to submit once, however often it has to try."""

    client: str
    first: int
    size: int
    key: str | None = None
    """Its Idempotency-Key."""
    model: str = REPORTS
    priority: str = "normal"
    deadline: int | None = None
    """Seconds."""
    callback: str | None = None
    damaged: bool = False
    """Its first input is an image that cannot be decoded."""

    @property
    def input_ids(self) -> list[str]:
        return [f"{self.client}-{number}" for number in range(self.first, self.first + self.size)]

    @property
    def inputs(self) -> list[dict[str, object]]:
        key = str(specs()[self.model].key)
        inputs = [{**features_of(self.model, input_id), key: input_id} for input_id in self.input_ids]
        if self.damaged:
            inputs[0]["image"] = DAMAGED
        return inputs

    @property
    def query(self) -> dict[str, str]:
        wishes = {"priority": self.priority, "deadline": self.deadline, "callback_url": self.callback}
        return {name: str(wish) for name, wish in wishes.items() if wish not in (None, "normal")}


@dataclass
class Ledger:
    """What the clients know: what they tried, what was accepted, what they read. Shared by their threads."""

    tries: Counter[Submission] = field(default_factory=Counter)
    accepted: dict[UUID, Submission] = field(default_factory=dict)
    read: dict[UUID, Mapping[str, Any]] = field(default_factory=dict)
    """The task, with its outputs, that a client was given as SUCCESS."""
    cancelled: dict[UUID, bool] = field(default_factory=dict)
    """Tasks that a client wanted cancelled; true: and was told that it is."""
    replayed: Counter[UUID] = field(default_factory=Counter)
    """How often a client was told that a failed task is scored once more."""
    called_back: dict[str, set[str]] = field(default_factory=dict)
    """The states that the receiver of the callbacks was told, by task."""
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

    def was_called_back(self, body: bytes) -> None:
        event = json.loads(body)["data"]
        self.called_back.setdefault(event["task_id"], set()).add(event["status"])

    def by_first_input(self) -> Iterator[tuple[str, Submission]]:
        return ((submission.input_ids[0], submission) for submission in self.tries)
