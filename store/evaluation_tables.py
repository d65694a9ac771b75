"""The table of how good models were found to be on live traffic, so that programs without numpy can show it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.tables import ANALYST_READS, app_may, metadata

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order in which they were stored"),
    Column("model", Text, nullable=False, comment="the model"),
    Column("grouping", Text, nullable=False, comment="all, version, week, client, or slice:COLUMN"),
    Column(
        "group_name", Text, nullable=False, comment="the version, the week's Monday, the client, or what is in a slice"
    ),
    Column(
        "computed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when; the same for all groups of one run",
    ),
    Column("predictions", BigInteger, nullable=False, comment="predictions of the group"),
    Column("outcomes", BigInteger, nullable=False, comment="of these, with an outcome"),
    Column("expected", Double, nullable=False, comment="outcomes in the end, by how long they have taken so far"),
    Column("mature", Boolean, nullable=False, comment="whether enough of them are there for an alarm"),
    Column("reviewed", BigInteger, nullable=False, comment="outcomes that the weighted figures rest on"),
    Column("kinds", JSONB, nullable=False, comment="outcomes by kind"),
    Column("naive", JSONB, nullable=False, comment="of predictions with an outcome: name to {value, low, high}"),
    Column(
        "weighted",
        JSONB(none_as_null=True),
        comment="standing for all predictions, alike; null: nobody drew any for review",
    ),
    Column(
        "confusion",
        JSONB(none_as_null=True),
        comment="labels, and counts with a row for each true one; null: the model has a target",
    ),
    Column("pictures", JSONB(none_as_null=True), comment="of all predictions: name to SVG; null: of a group"),
    Index("evaluations_last", "model", "grouping", "computed_at"),
    info=ANALYST_READS | app_may("SELECT"),
    comment="How good models were on live traffic, a row for each group of a run of `millrace evaluate --live`",
)
