"""The table of how far columns have moved, day by day."""

from sqlalchemy import ARRAY, BigInteger, Boolean, CheckConstraint, Column, Date, DateTime, Double, Table, Text, func

from store.tables import ANALYST_READS, app_may, metadata

drift = Table(
    "drift",
    metadata,
    Column("model", Text, primary_key=True, comment="the model"),
    Column("version", Text, primary_key=True, comment="its live version when this was computed"),
    Column("day", Date, primary_key=True, comment="the day (UTC) whose predictions were compared"),
    Column("column_name", Text, primary_key=True, comment="an input column, or the score"),
    Column("against", Text, primary_key=True, comment="training, or week: the seven days before"),
    Column("rows", BigInteger, nullable=False, comment="predictions of the day"),
    Column("reference_rows", BigInteger, nullable=False, comment="rows that they were compared with"),
    Column("psi", Double, nullable=False, comment="population stability index"),
    Column("band", Double, nullable=False, comment="what chance alone keeps psi below, at these numbers of rows"),
    Column("jensen_shannon", Double, nullable=False, comment="Jensen-Shannon divergence in bits, from 0 to 1"),
    Column("missing", Double, nullable=False, comment="by how much the share of missing values has grown"),
    Column("unseen", Double, nullable=False, comment="share of values whose category the reference does not have"),
    Column("found", Boolean, comment="whether the column has drifted; null: too few rows to say"),
    Column(
        "findings", ARRAY(Text), nullable=False, comment="what has: distribution, missing, unseen; several, or none"
    ),
    Column("computed_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when"),
    CheckConstraint("against IN ('training', 'week')", name="against_known"),
    info=ANALYST_READS | app_may("SELECT"),
    comment="How far each column of a model has moved, a row for each day and reference: see `millrace drift`",
)
