"""The tables of jobs: many tasks under one id, such as those of a file."""

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.tables import ANALYST_READS, app_may, metadata


class JobKind(StrEnum):
    FILE = "file"
    """The rows of a file."""
    REPLAY = "replay"
    """Failed tasks wait again."""
    CANCEL = "cancel"
    """Tasks that have not ended are cancelled."""


BULK = frozenset({JobKind.REPLAY, JobKind.CANCEL})
"""The kinds that change tasks which a filter has chosen, in place of making tasks."""


class OnInvalid(StrEnum):
    """What becomes of a row that the model's schema, or the model itself, refuses."""

    STOP = "stop"
    """Its part is refused, or its part's task fails."""
    COLLECT = "collect"
    """It is kept as a reject, and the others are scored."""


jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUIDv7: ordered by time"),
    Column("kind", Text, nullable=False, comment="file: the rows of a file; replay, cancel: of tasks that there were"),
    Column(
        "model", Text, comment="the model that scores its rows, or whose tasks it changes; null: those of all models"
    ),
    Column("client", Text, comment="whose API key it came with; null: AUTH was off"),
    Column("priority", SmallInteger, comment="of a file's tasks: 0 high, 1 normal, 2 low"),
    Column("on_invalid", Text, comment="what becomes of an invalid row of a file: stop or collect"),
    Column("idempotency_key", Text, comment="the client's key for retries"),
    Column(
        "created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was made"
    ),
    Column(
        "closed_at",
        DateTime(timezone=True),
        comment="when its client said that there are no more parts, or no chosen task was left to look at",
    ),
    Column("cancelled_at", DateTime(timezone=True), comment="when it was cancelled"),
    Column("finished_at", DateTime(timezone=True), comment="when the last of its tasks had ended"),
    CheckConstraint("kind IN ('file', 'replay', 'cancel')", name="kind_known"),
    CheckConstraint(
        "kind <> 'file' OR model IS NOT NULL AND priority IS NOT NULL AND on_invalid IS NOT NULL", name="file_whole"
    ),
    CheckConstraint("on_invalid IN ('stop', 'collect')", name="on_invalid_known"),
    Index("jobs_unfinished", "id", postgresql_where=text("finished_at IS NULL")),
    Index("jobs_of_client", "client", "id"),
    Index(
        "jobs_idempotency_key",
        "client",
        "idempotency_key",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE"),
    comment="One row a job: many tasks under one id",
)

job_parts = Table(
    "job_parts",
    metadata,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, comment="the job"),
    Column("part", Integer, primary_key=True, autoincrement=False, comment="place of the part in the job, from 0"),
    Column("first_row", BigInteger, nullable=False, comment="number of its first row in the file, from 1"),
    Column("n_rows", Integer, nullable=False, comment="rows in the file, rejected ones included"),
    Column("rejected", ARRAY(Integer), nullable=False, comment="places in the part, from 0, of the rejected rows"),
    Column("task_id", Uuid, comment="the task that scores its rows; null: every row is rejected"),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of what was sent"),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE (rejected, task_id)"),
    comment="The parts of a job, each of which is a task",
)

job_rejects = Table(
    "job_rejects",
    metadata,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, comment="the job"),
    Column(
        "row_number", BigInteger, primary_key=True, autoincrement=False, comment="number of the row in the file, from 1"
    ),
    Column("errors", JSONB, nullable=False, comment="what is wrong: pointer and detail; a detail may quote the input"),
    info=ANALYST_READS | app_may("SELECT", "INSERT"),
    comment="The rows of a job that cannot be scored",
)

bulk_jobs = Table(
    "bulk_jobs",
    metadata,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, comment="the job"),
    Column("filter", JSONB, nullable=False, comment="which tasks it changes: status, model, client, submitted_…"),
    Column("task_limit", Integer, nullable=False, comment="how many it may choose, the newest first"),
    Column("n_chosen", Integer, nullable=False, server_default="0", comment="tasks that the filter chose"),
    Column("n_changed", Integer, nullable=False, server_default="0", comment="of these, replayed or cancelled"),
    Column(
        "n_left_alone",
        Integer,
        nullable=False,
        server_default="0",
        comment="of these, left as they are: something else had changed or deleted them, or their inputs, meanwhile",
    ),
    Column(
        "chosen_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
        comment="when they were chosen: what failed later is not replayed",
    ),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE (n_chosen, n_changed, n_left_alone, chosen_at)"),
    comment="What a job of kind replay or cancel changes, and how far it is",
)

bulk_tasks = Table(
    "bulk_tasks",
    metadata,
    Column("job_id", Uuid, ForeignKey("bulk_jobs.job_id", ondelete="CASCADE"), primary_key=True, comment="the job"),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="the highest is next: it has the oldest"),
    Column(
        "task_ids",
        ARRAY(Uuid),
        nullable=False,
        comment="tasks that it chose and has not looked at yet, the newest first",
    ),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "DELETE"),
    comment="What a job of kind replay or cancel has still to do",
)

task_events = Table(
    "task_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order of events"),
    Column(
        "event",
        Text,
        nullable=False,
        comment="replayed or cancelled: a task, some, or a file's job; begun or stopped: a bulk job",
    ),
    Column(
        "at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp(), comment="when it happened"
    ),
    Column("client", Text, comment="whose API key did it; null: AUTH was off, or a command did it"),
    Column("by", Text, nullable=False, comment="who did it: the client, anonymous, or who ran the command"),
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), comment="the task, if it is one"),
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), comment="the job, if it is one"),
    Column("n_tasks", Integer, nullable=False, comment="how many tasks; begun: that the filter chose"),
    Column("filter", JSONB(none_as_null=True), comment="which tasks were chosen; null: they were named"),
    Column(
        "part_of",
        BigInteger,
        ForeignKey("task_events.id", ondelete="CASCADE"),
        comment="the event of many tasks that this one of a single task belongs to",
    ),
    CheckConstraint("event IN ('replayed', 'cancelled', 'begun', 'stopped')", name="event_known"),
    Index("task_events_of_task", "task_id", postgresql_where=text("task_id IS NOT NULL")),
    Index("task_events_of_job", "job_id", postgresql_where=text("job_id IS NOT NULL")),
    Index("task_events_parts", "part_of", postgresql_where=text("part_of IS NOT NULL")),
    Index("task_events_listed", "id", postgresql_where=text("part_of IS NULL")),
    Index("task_events_of_client", "client", "id", postgresql_where=text("part_of IS NULL AND client IS NOT NULL")),
    info=ANALYST_READS | app_may("SELECT", "INSERT"),
    comment="Who has replayed or cancelled which tasks: rows are added, never changed",
)
