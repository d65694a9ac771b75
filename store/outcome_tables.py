"""The tables of the truth about predictions: outcomes as they were reported, and who was given which to review."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.tables import ANALYST_READS, app_may, metadata


class Policy(StrEnum):
    """By which rule a prediction was drawn for a reviewer."""

    RANKED = "ranked"
    """The highest score of the pool."""
    RANDOM = "random"
    """Any of the pool, all alike."""
    SECOND = "second"
    """A second review of what another reviewer has decided."""


class Ending(StrEnum):
    """How a lease ended."""

    DECIDED = "decided"
    """The reviewer has reported an outcome."""
    RELEASED = "released"
    """The reviewer has given it back."""
    EXPIRED = "expired"
    """Its time was over."""


def _in(column: str, values: type[StrEnum]) -> str:
    return f"""{column} IN ('{"', '".join(values)}')"""


outcomes = Table(
    "outcomes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order in which they were stored"),
    Column("model", Text, nullable=False, comment="the model of the predictions that it is about"),
    Column("key", Text, comment="the caller's own key of the predictions; null: task_id and position name one"),
    Column("task_id", Uuid, comment="the task of the prediction, as in tasks.id; null: key names the predictions"),
    Column("position", Integer, comment="place of the prediction in its task, from 0"),
    Column("outcome", Text, comment="one of the kinds that the model declares; null: a number, or a withdrawal"),
    Column("value", Double, comment="the outcome of a model whose outcomes are numbers"),
    Column("decided_at", DateTime(timezone=True), nullable=False, comment="when it was decided, as its sender says"),
    Column(
        "received_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was stored"
    ),
    Column("reviewer", Text, comment="who decided"),
    Column("source", Text, comment="the process or system that it comes from"),
    Column(
        "withdrawn",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="takes back what the same reviewer and source have reported about it before",
    ),
    Column("client", Text, comment="whose API key it came with; null: AUTH was off"),
    Column(
        "everyones",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether it is about every client's predictions; false: only about those of its own client",
    ),
    CheckConstraint("(task_id IS NULL) = (position IS NULL)", name="place_whole"),
    CheckConstraint("key IS NOT NULL OR task_id IS NOT NULL", name="place_given"),
    CheckConstraint("num_nonnulls(outcome, value) = CASE WHEN withdrawn THEN 0 ELSE 1 END", name="one_outcome"),
    # What makes an outcome the same one; and by its first columns what finds the outcomes of a prediction's key.
    Index(
        "outcomes_same",
        *("model", "key", "task_id", "position", "decided_at", "outcome", "value", "reviewer", "source", "withdrawn"),
        "client",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    Index("outcomes_of_task", "task_id", "position", postgresql_where=text("task_id IS NOT NULL")),
    Index("outcomes_received_at", "received_at", postgresql_using="brin"),
    info=ANALYST_READS | app_may("SELECT", "INSERT"),
    comment="One row for each outcome that was reported; rows are only added, and only the owner's commands delete any",
)

draws = Table(
    "draws",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="the lease, in the order of the draws"),
    Column("model", Text, nullable=False, comment="the model of the prediction"),
    Column("task_id", Uuid, nullable=False, comment="the task of the prediction, as in tasks.id"),
    Column("position", Integer, nullable=False, comment="place of the prediction in its task, from 0"),
    Column("client", Text, comment="whose API key asked for it; null: AUTH was off"),
    Column("reviewer", Text, nullable=False, comment="who got it"),
    Column("policy", Text, nullable=False, comment="ranked, random, or second: a second review"),
    Column("filter", JSONB, nullable=False, comment="what the reviewer asked for"),
    Column("pool", Integer, comment="predictions that could have been drawn at this draw; null: a second review"),
    Column(
        "chance",
        Double,
        comment="probability that this draw gave this prediction, given the earlier draws; null: a second review",
    ),
    Column(
        "second_pending",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether another reviewer is to decide it as well, and has not yet",
    ),
    Column("second_of", BigInteger, ForeignKey("draws.id", ondelete="CASCADE"), comment="the draw of the first review"),
    Column(
        "drawn_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
        comment="when the lease began",
    ),
    Column("lease_until", DateTime(timezone=True), nullable=False, comment="until when nobody else gets it"),
    Column("shown_at", DateTime(timezone=True), comment="when it was displayed; null: nobody has seen it"),
    Column("ended_at", DateTime(timezone=True), comment="when the lease ended"),
    Column("ending", Text, comment="decided, released or expired; null: the reviewer holds it"),
    Column("outcome", Text, comment="what the reviewer decided at first"),
    CheckConstraint(_in("policy", Policy), name="policy_known"),
    CheckConstraint(_in("ending", Ending), name="ending_known"),
    CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ending_whole"),
    Index("draws_open", "model", "task_id", "position", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("draws_expired", "model", "ended_at", postgresql_where=text(f"ending = '{Ending.EXPIRED}'")),
    Index("draws_of_task", "task_id", "position"),
    Index("draws_second_pending", "model", "id", postgresql_where=text("second_pending")),
    Index("draws_second_of", "second_of", postgresql_where=text("second_of IS NOT NULL")),
    info=ANALYST_READS
    | app_may("SELECT", "INSERT", "UPDATE (second_pending, lease_until, shown_at, ended_at, ending, outcome)"),
    comment="One row for each prediction that a reviewer was given: by which rule, of how many, and what came of it",
)
