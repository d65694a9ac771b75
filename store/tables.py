"""The tables that do not belong to one model. (A model's own table is made in predictions.py.)"""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
from sqlalchemy.dialects.postgresql import JSONB

from store.states import FAILURE, PENDING, STARTED, Status, status_in

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


tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUIDv7: ordered by time"),
    Column("model", Text, nullable=False, comment="the model that scores it"),
    Column("accepted_version", Text, comment="the live version when it was accepted, whose schema its inputs fit"),
    Column("model_version", Text, comment="the version that scored it"),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=PENDING,
        comment="PENDING, STARTED, then SUCCESS, FAILURE, REVOKED or EXPIRED",
    ),
    Column("attempt", SmallInteger, nullable=False, server_default="0", comment="how often a worker has claimed it"),
    Column(
        "lost_attempts",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="attempts whose worker was lost, since the task was accepted or replayed",
    ),
    Column(
        "attempt_base",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="read by release 0.1.0 only, which limits attempt - attempt_base",
    ),
    Column("priority", SmallInteger, nullable=False, server_default="1", comment="0 high, 1 normal, 2 low"),
    Column("n_inputs", Integer, nullable=False, comment="how many inputs it has: rows in its model's table"),
    Column(
        "submitted_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when it was accepted",
    ),
    Column(
        "published_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when its latest message went out",
    ),
    Column(
        "needs_message",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="while PENDING: no message names it, and rescue is to send one",
    ),
    Column("started_at", DateTime(timezone=True), comment="start of the latest attempt"),
    Column("lease_until", DateTime(timezone=True), comment="until when a worker owns it"),
    Column("finished_at", DateTime(timezone=True), comment="when it ended, in whatever state"),
    Column("deadline", DateTime(timezone=True), comment="when it expires, if it is not scored by then"),
    Column("client", Text, comment="whose API key it came with; null: AUTH was off"),
    Column("idempotency_key", Text, comment="the client's key for retries; null when it is forgotten"),
    Column("request_fingerprint", LargeBinary, comment="what the key was sent with: a format's number, SHA-256"),
    Column("error", Text, comment="why it failed, for a person"),
    Column("faults", JSONB(none_as_null=True), comment="which of its inputs are at fault: position, field, detail"),
    Column("traceparent", Text, comment="the trace of the request that it came by (W3C)"),
    CheckConstraint(status_in(*Status), name="status_known"),
    CheckConstraint("n_inputs > 0", name="n_inputs_positive"),
    # What rescue reads: small, because a task leaves both when it ends.
    Index("tasks_pending", "model", "priority", "published_at", postgresql_where=text(status_in(PENDING))),
    Index("tasks_needing_message", "model", "priority", postgresql_where=text("needs_message")),
    Index("tasks_started", "lease_until", postgresql_where=text(status_in(STARTED))),
    Index(
        "tasks_deadline",
        "deadline",
        postgresql_where=text(f"deadline IS NOT NULL AND {status_in(PENDING, STARTED)}"),
    ),
    Index("tasks_keyed", "submitted_at", postgresql_where=text("idempotency_key IS NOT NULL")),
    Index("tasks_failed", "id", postgresql_where=text(status_in(FAILURE))),
    # What lists read, of all clients and of one: without a filter, each model and state is looked at.
    Index("tasks_listed", "model", "status", "submitted_at", "id"),
    Index(
        "tasks_of_client",
        *("client", "model", "status", "submitted_at", "id"),
        postgresql_where=text("client IS NOT NULL"),
    ),
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
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, comment="the task"),
    Column("payload", LargeBinary, nullable=False, comment="validated inputs in JSON: an array, or one array a field"),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "DELETE"),
    comment="Inputs that still wait for a score; a failed task keeps its row, so that it can be replayed",
)

workers = Table(
    "workers",
    metadata,
    Column("id", Uuid, primary_key=True, comment="one worker process"),
    Column("model", Text, primary_key=True, comment="a model that it has loaded"),
    Column("model_version", Text, nullable=False, comment="the version that it has loaded"),
    Column("host", Text, nullable=False, comment="name of its host or container"),
    Column("pid", Integer, nullable=False, comment="its process id on that host"),
    Column("tasks_done", BigInteger, nullable=False, server_default="0", comment="since it started"),
    Column("inputs_done", BigInteger, nullable=False, server_default="0", comment="since it started"),
    Column("cache_hits", BigInteger, nullable=False, server_default="0", comment="of the inputs, by the score cache"),
    Column("busy_seconds", Double, nullable=False, server_default="0", comment="spent on what is done"),
    Column("working_since", DateTime(timezone=True), comment="on a chunk for this model; null: on none"),
    Column("resident_bytes", BigInteger, comment="memory of the process; null: told by a release that did not measure"),
    Column(
        "ready_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when it had loaded its models",
    ),
    Column(
        "seen_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="its latest heartbeat"
    ),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE", "DELETE"),
    comment="Worker processes with the models that they have loaded; a row not seen for long is dead",
)

unloaded_models = Table(
    "unloaded_models",
    metadata,
    Column("host", Text, primary_key=True, comment="where the worker runs"),
    Column("model", Text, primary_key=True, comment="name of the model"),
    Column("reason", Text, nullable=False, comment="why a worker of the host could not load the model"),
    Column(
        "seen_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when a worker of the host last said so",
    ),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE", "DELETE"),
    comment="Models that a worker should serve and could not load; a row not seen for long is over",
)

rescue_rounds = Table(
    "rescue_rounds",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true"), comment="there is one row"),
    Column(
        "latest_at", DateTime(timezone=True), nullable=False, comment="when a round of rescue last reached PostgreSQL"
    ),
    Column("steady_since", DateTime(timezone=True), comment="end of PostgreSQL's latest outage; null: none is known"),
    CheckConstraint("one", name="only_one"),
    info=ANALYST_READS | app_may("SELECT", "INSERT", "UPDATE"),
    comment="By what rescue tells a lost worker from a PostgreSQL that was away",
)
