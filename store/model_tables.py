"""The tables of the registry: models, their versions, the files of these, and what became of them."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.tables import ANALYST_READS, app_may, metadata


class State(StrEnum):
    """Where a version stands."""

    CANDIDATE = "candidate"
    """Added, and not promoted."""
    LIVE = "live"
    """Scores what is submitted: one version a model."""
    SHADOW = "shadow"
    """Scores beside the live version, without an effect."""
    RETIRED = "retired"
    """No longer in use."""


def state_in(column: str, *states: State) -> str:
    """Return the condition in SQL, with constants."""
    return f"""{column} IN ('{"', '".join(states)}')"""


registry = Table(
    "registry",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true"), comment="there is one row"),
    Column(
        "revision",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="grows with every change of a model or version; programs look at it each second",
    ),
    CheckConstraint("one", name="only_one"),
    info=ANALYST_READS | app_may("SELECT", "UPDATE (revision)"),
    comment="Tells programs that a model has changed; every change locks this row first",
)

models = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True, comment="as in the path /models/<name>/submit"),
    Column("table_name", Text, nullable=False, unique=True, comment="the table of its predictions"),
    Column(
        "created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was added"
    ),
    info=ANALYST_READS | app_may("SELECT"),
    comment="Models that were ever added",
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model", Text, ForeignKey("models.name"), primary_key=True, comment="the model"),
    Column("version", Text, primary_key=True, comment="1, 2, …; a built-in model's own, such as 1.0.0"),
    Column("state", Text, nullable=False, server_default=State.CANDIDATE, comment="candidate, live, shadow or retired"),
    Column("runtime", Text, nullable=False, comment="the library that runs it"),
    Column("schema", JSONB, comment="what it takes and gives; null: its spec is code of this release"),
    Column("manifest", JSONB, nullable=False, comment="its files by sha256, and how the runtime loads them"),
    Column("evaluation", JSONB, comment="metrics on data that training did not see"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of schema, manifest and files: what makes it new"),
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
        comment="when it was added",
    ),
    Column("created_by", Text, nullable=False, comment="who added it"),
    CheckConstraint(state_in("state", *State), name="state_known"),
    Index("model_versions_live", "model", unique=True, postgresql_where=text(state_in("state", State.LIVE))),
    Index("model_versions_digest", "model", "digest", unique=True),
    info=ANALYST_READS | app_may("SELECT", "UPDATE (state)"),
    comment="Versions of models; only the state of one ever changes",
)

model_artifacts = Table(
    "model_artifacts",
    metadata,
    Column("sha256", LargeBinary, primary_key=True, comment="of the whole file"),
    Column("part", Integer, primary_key=True, autoincrement=False, comment="place in the file, from 0"),
    Column("content", LargeBinary, nullable=False, comment="up to 1 MiB of it"),
    info=app_may("SELECT"),
    comment="The files of versions, in parts, but those of model_artifact_urls; not for analysts",
)

model_artifact_urls = Table(
    "model_artifact_urls",
    metadata,
    Column("sha256", LargeBinary, primary_key=True, comment="of the file"),
    Column("url", Text, nullable=False, comment="where it lies"),
    Column("bytes", BigInteger, nullable=False, comment="its size"),
    Column(
        "stored_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was stored"
    ),
    info=app_may("SELECT"),
    comment="Files of versions that lie in a folder or a bucket, being large; not for analysts",
)

model_events = Table(
    "model_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order of events"),
    Column("model", Text, nullable=False, comment="the model"),
    Column("version", Text, nullable=False, comment="the version"),
    Column(
        "event", Text, nullable=False, comment="added, shadowed, unshadowed, promoted, replaced, rolled_back or retired"
    ),
    Column("old_state", Text, comment="null: it was added"),
    Column("new_state", Text, nullable=False, comment="the state since then"),
    Column(
        "at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp(), comment="when it happened"
    ),
    Column("by", Text, nullable=False, comment="who did it"),
    Column("reason", Text, comment="why, in that person's words"),
    Column(
        "gate",
        Text,
        comment="what the gate said of a promotion; forced: and what it had said, of one past it; excepted: and the "
        "slices in which it may be worse; null: it had no say",
    ),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    Index("model_events_of_model", "model", "id"),
    info=ANALYST_READS | app_may("SELECT", "INSERT"),
    comment="What became of each version: rows are added, never changed",
)
