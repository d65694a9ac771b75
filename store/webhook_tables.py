"""The tables of callbacks: whom to tell that a task has ended, and whom to tell of another event."""

from sqlalchemy import Column, DateTime, ForeignKey, Index, Integer, SmallInteger, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from store.tables import app_may, metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, comment="the task"),
    Column("url", Text, nullable=False, comment="may hold a secret of its receiver"),
    Column("attempts", SmallInteger, nullable=False, server_default="0", comment="how often the URL was called"),
    Column(
        "due_at",
        DateTime(timezone=True),
        comment="next attempt; null before the task has ended and after the last attempt",
    ),
    Column("delivered_at", DateTime(timezone=True), comment="when its receiver took it"),
    Column("given_up_at", DateTime(timezone=True), comment="when the last attempt failed"),
    Column("last_status", Integer, comment="HTTP status of the latest answer"),
    Column("last_error", Text, comment="why the latest attempt got no answer"),
    Column(
        "created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was made"
    ),
    Index("webhooks_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "webhooks_waiting",
        "task_id",
        postgresql_where=text("due_at IS NULL AND delivered_at IS NULL AND given_up_at IS NULL"),
    ),
    info=app_may("SELECT", "INSERT", "UPDATE"),
    comment="Whom to tell that a task has ended",
)

event_webhooks = Table(
    "event_webhooks",
    metadata,
    Column(
        "id", Uuid, primary_key=True, server_default=func.gen_random_uuid(), comment="the event's, for its receiver"
    ),
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), unique=True, comment="the job whose end it is"),
    Column("type", Text, comment="what happened, such as job.done or model.promoted; null: nothing yet"),
    Column("data", JSONB, comment="what its receiver is told of it"),
    Column("client", Text, comment="whose secret signs it; null: AUTH was off, or it is about a model"),
    Column("url", Text, nullable=False, comment="may hold a secret of its receiver"),
    Column("happened_at", DateTime(timezone=True), comment="when it did"),
    Column("attempts", SmallInteger, nullable=False, server_default="0", comment="how often the URL was called"),
    Column("due_at", DateTime(timezone=True), comment="next attempt; null before the event and after the last attempt"),
    Column("delivered_at", DateTime(timezone=True), comment="when its receiver took it"),
    Column("given_up_at", DateTime(timezone=True), comment="when the last attempt failed"),
    Column("last_status", Integer, comment="HTTP status of the latest answer"),
    Column("last_error", Text, comment="why the latest attempt got no answer"),
    Index("event_webhooks_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    info=app_may("SELECT", "INSERT", "UPDATE"),
    comment="Whom to tell of an event that is not the end of a task, such as the end of a job",
)
