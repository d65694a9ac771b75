"""The tables in which the owner's deletions are noted: days that retention has deleted, and erasures."""

from sqlalchemy import ARRAY, BigInteger, Column, Date, DateTime, Identity, Table, Text, func, text

from store.tables import ANALYST_READS, metadata

deleted_days = Table(
    "deleted_days",
    metadata,
    Column("model", Text, primary_key=True, comment="the model"),
    Column("day", Date, primary_key=True, comment="the day (UTC) of scored_at"),
    Column("predictions", BigInteger, nullable=False, comment="rows of that day when retention began to delete them"),
    Column(
        "begun_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
        comment="when retention began to delete the day",
    ),
    Column(
        "ended_at", DateTime(timezone=True), comment="when the day was gone; null: the next run of retention goes on"
    ),
    info=ANALYST_READS,
    comment="Days of predictions that retention has deleted, so that nothing exports again what is left of them",
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order of erasures"),
    Column("model", Text, nullable=False, comment="the model"),
    Column(
        "begun_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
        comment="when the erasure began",
    ),
    Column("ended_at", DateTime(timezone=True), comment="when all was erased; null: it was interrupted, run it again"),
    Column("by", Text, nullable=False, comment="who did it"),
    Column("reason", Text, comment="why, in that person's words"),
    Column("predictions", BigInteger, nullable=False, server_default="0", comment="rows that were deleted"),
    Column("tasks", BigInteger, nullable=False, server_default="0", comment="tasks that lost an input, or all of them"),
    Column(
        "stale_days",
        ARRAY(Date),
        nullable=False,
        server_default=text("'{}'"),
        comment="exported days (UTC) that still hold what was erased, until they are written anew",
    ),
    info=ANALYST_READS,
    comment="One row for each run of `millrace forget`, without the key and without content",
)
