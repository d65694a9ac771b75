"""What is computed of stored inputs later: other versions' scores, what scores are made of, the gate's reports."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.tables import ANALYST_READS, app_may, metadata

version_scores = Table(
    "version_scores",
    metadata,
    Column("model", Text, primary_key=True, comment="the model"),
    Column("version", Text, primary_key=True, comment="the version that scored the stored input again"),
    Column("task_id", Uuid, primary_key=True, comment="the task of the prediction, as in tasks.id"),
    Column("position", Integer, primary_key=True, autoincrement=False, comment="place of the prediction in its task"),
    Column("score", Double, comment="its score; null: the model has none, or it failed"),
    Column("label", Text, comment="its guessed label; null: the model has none, or it failed"),
    Column("error", Text, comment="why it could not score this input; null: it could"),
    Column(
        "scored_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was stored"
    ),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    Index("version_scores_of_task", "task_id", "position"),
    info=ANALYST_READS | app_may("SELECT"),
    comment="What a version that was not live says of stored inputs, beside their predictions",
)

explanations = Table(
    "explanations",
    metadata,
    Column("task_id", Uuid, primary_key=True, comment="the task of the prediction, as in tasks.id"),
    Column("position", Integer, primary_key=True, autoincrement=False, comment="place of the prediction in its task"),
    Column("base", Double, nullable=False, comment="what the version says on average, in log odds or its own unit"),
    Column(
        "contributions",
        ARRAY(Double),
        nullable=False,
        comment="what each input column adds to base, in the order of the table's columns, without the key",
    ),
    Column("explained_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when"),
    info=ANALYST_READS | app_may("SELECT"),
    comment="What predictions are made of, by the version that made them: see `millrace explain`",
)

gate_reports = Table(
    "gate_reports",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order in which they were made"),
    Column("model", Text, nullable=False, comment="the model"),
    Column("version", Text, nullable=False, comment="the version that asked to be live"),
    Column("against", Text, nullable=False, comment="the version that was live"),
    Column("verdict", Text, nullable=False, comment="pass, fail, or too few to say"),
    Column("report", JSONB, nullable=False, comment="what was compared on which outcomes, and the reasons"),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when"),
    CheckConstraint("verdict IN ('pass', 'fail', 'too few to say')", name="verdict_known"),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    Index("gate_reports_last", "model", "version", "id"),
    info=ANALYST_READS | app_may("SELECT"),
    comment="What `millrace models gate` found, a row a run; the last one about the live version counts",
)
