"""The tables that do not belong to one model. (A model's own table is made in predictions.py.)"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from store.states import Status

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

ANALYST, APP = "analyst", "millrace_app"
"""The roles that are not the owner; roles.py makes them. A table's `info` says what each may do with it."""

ANALYST_READS = {ANALYST: ["SELECT"]}


def app_may(*privileges: str) -> dict[str, list[str]]:
    """Say what the programs do with a table, as GRANT words it: theirs is the least that lets them work."""
    return {APP: list(privileges)}


_statuses = ", ".join(f"'{status}'" for status in Status)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUIDv7: ordered by time"),
    Column("model", Text, nullable=False),
    Column("model_version", Text, comment="the version that scored it"),
    Column("status", Text, nullable=False, server_default=Status.PENDING),
    Column("attempt", SmallInteger, nullable=False, server_default="0", comment="how often a worker has claimed it"),
    Column(
        "attempt_base",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="attempts that no longer count: before a replay, or given back by a stopping worker",
    ),
    Column("priority", SmallInteger, nullable=False, server_default="1", comment="0 high, 1 normal, 2 low"),
    Column("n_inputs", Integer, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("published_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True), comment="start of the latest attempt"),
    Column("lease_until", DateTime(timezone=True), comment="until when a worker owns it"),
    Column("finished_at", DateTime(timezone=True)),
    Column("deadline", DateTime(timezone=True)),
    Column("client", Text),
    Column("idempotency_key", Text),
    Column("request_fingerprint", LargeBinary),
    Column("error", Text, comment="why it failed, for a person"),
    Column("traceparent", Text, comment="the trace of the request that it came by (W3C)"),
    CheckConstraint(f"status IN ({_statuses})", name="status_known"),
    CheckConstraint("n_inputs > 0", name="n_inputs_positive"),
    # What rescue reads: small, because a task leaves both when it ends.
    Index("tasks_pending", "model", "priority", "published_at", postgresql_where=text("status = 'PENDING'")),
    Index("tasks_started", "lease_until", postgresql_where=text("status = 'STARTED'")),
    Index(
        "tasks_deadline",
        "deadline",
        postgresql_where=text("deadline IS NOT NULL AND status IN ('PENDING', 'STARTED')"),
    ),
    Index("tasks_keyed", "submitted_at", postgresql_where=text("idempotency_key IS NOT NULL")),
    Index("tasks_failed", "id", postgresql_where=text("status = 'FAILURE'")),
    Index("tasks_model", "model", "id"),
    Index(
        "tasks_idempotency_key",
        "client",
        "idempotency_key",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE"),
    comment="One row a submission",
)

task_inputs = Table(
    "task_inputs",
    metadata,
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("payload", LargeBinary, nullable=False, comment="validated inputs in JSON: an array, or one array a field"),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "DELETE"),
    comment="Inputs that still wait for a score; a failed task keeps its row, so that it can be replayed",
)

workers = Table(
    "workers",
    metadata,
    Column("id", Uuid, primary_key=True, comment="one worker process"),
    Column("model", Text, primary_key=True),
    Column("model_version", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("tasks_done", BigInteger, nullable=False, server_default="0"),
    Column("inputs_done", BigInteger, nullable=False, server_default="0"),
    Column("cache_hits", BigInteger, nullable=False, server_default="0", comment="of the inputs, by the score cache"),
    Column("busy_seconds", Double, nullable=False, server_default="0", comment="spent on what is done"),
    Column("working_since", DateTime(timezone=True), comment="on a chunk for this model; null: on none"),
    Column("ready_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE", "DELETE"),
    comment="Worker processes with the models that they have loaded; a row not seen for long is dead",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="public part of the key"),
    Column("client", Text, nullable=False, comment="whose tasks are submitted and read with it"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the key"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_used_at", DateTime(timezone=True), comment="to the minute"),
    Column("revoked_at", DateTime(timezone=True)),
    CheckConstraint("octet_length(hash) = 32", name="hash_is_sha256"),
    info=app_may("SELECT", "UPDATE (last_used_at)"),  # keys are made and revoked by the owner
    comment="Who may use the API; not for analysts",
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("url", Text, nullable=False, comment="may hold a secret of its receiver"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column(
        "due_at",
        DateTime(timezone=True),
        comment="next attempt; null before the task has ended and after the last attempt",
    ),
    Column("delivered_at", DateTime(timezone=True)),
    Column("given_up_at", DateTime(timezone=True)),
    Column("last_status", Integer, comment="HTTP status of the latest answer"),
    Column("last_error", Text, comment="why the latest attempt got no answer"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("webhooks_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "webhooks_waiting",
        "task_id",
        postgresql_where=text("due_at IS NULL AND delivered_at IS NULL AND given_up_at IS NULL"),
    ),
    info=app_may("SELECT", "INSERT", "UPDATE"),
    comment="Whom to tell that a task has ended",
)
