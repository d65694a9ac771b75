"""Rows that analysts ask about, in a transaction whose clock stands still."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from store import analytics

HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)

Rows = list[dict[str, Any]]


class Seed:
    """One transaction with a clock that stands still: `now` is what now() returns in every query."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ids = 0
        self.now: datetime = connection.execute(text("SELECT now()")).scalar_one().astimezone(UTC)
        self.hour = self.now.replace(minute=0, second=0, microsecond=0)
        self.day = self.hour.replace(hour=0)
        self.week = self.day - self.day.weekday() * DAY
        """Monday of this week."""

    def report(self, score: float, at: datetime, **given: Any) -> UUID:
        row: dict[str, Any] = {
            "task_id": self.uuid7(at),
            "position": 0,
            "abuse_type": "MSG",
            "report_text_len": 120,
            "profile_rating": 4.2,
            "popularity": 3,
            "lifetime_matches_created": 57,
            "report_id": None,
            "score": score,
            "model_version": "1.0.0",
            "scored_at": at,
        } | given
        self._insert("report_scores", row)
        task_id: UUID = row["task_id"]
        return task_id

    def task(self, at: datetime, wait_ms: float = 0, scoring_ms: float = 0, **given: Any) -> UUID:
        start = at + wait_ms * MILLISECOND
        row: dict[str, Any] = {
            "id": self.uuid7(at),
            "model": "report_scorer",
            "status": "SUCCESS",
            "attempt": 1,
            "n_inputs": 1,
            "submitted_at": at,
            "started_at": start,
            "finished_at": start + scoring_ms * MILLISECOND,
        } | given
        self._insert("tasks", row)
        task_id: UUID = row["id"]
        return task_id

    def text_label(self, at: datetime, **given: Any) -> None:
        label = {
            "label": "sea",
            "probability": 1.0,
            "labels": ["sea"],
            "probabilities": [1.0],
            "model_version": "1.0.0",
        }
        place = {"task_id": self.uuid7(at), "position": 0, "text": "a", "document_id": None, "scored_at": at}
        self._insert("text_labels", {**place, **label, **given})

    def image_label(self, at: datetime, **given: Any) -> None:
        label = {"label": "8", "probability": 1.0, "labels": ["8"], "probabilities": [1.0], "model_version": "1.0.0"}
        place = {"task_id": self.uuid7(at), "position": 0, "image": b"", "top_n": 1, "scored_at": at, "cached": False}
        self._insert("image_labels", {**place, **label, **given})

    def key(self, client: str, at: datetime, role: str = "submit") -> None:
        self._ids += 1
        row = {"id": f"{self._ids:016x}", "client": client, "hash": bytes(32), "role": role, "created_at": at}
        self._insert("api_keys", row)

    def ask(self, name: str) -> Rows:
        """Answer with the rights of an analyst."""
        self.connection.execute(text("SET LOCAL ROLE analyst"))
        result = self.connection.execution_options(no_parameters=True).exec_driver_sql(analytics.statement(name))
        return [dict(row) for row in result.mappings()]

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        self.connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)

    def uuid7(self, at: datetime) -> UUID:
        """Make a UUIDv7 of that time; later ones are greater."""
        self._ids += 1
        return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | self._ids)
