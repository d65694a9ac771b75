"""What versions that are not live say of stored inputs, and the reports of the gate."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

VERSION = (["model", "version"], ["model_versions.model", "model_versions.version"])


def upgrade() -> None:
    op.create_table(
        "version_scores",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(*VERSION, name=op.f("version_scores_model_fkey")),
        sa.PrimaryKeyConstraint("model", "version", "task_id", "position", name=op.f("version_scores_pkey")),
    )
    op.create_index("version_scores_of_task", "version_scores", ["task_id", "position"])
    op.create_table(
        "gate_reports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("against", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("report", postgresql.JSONB(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("verdict IN ('pass', 'fail', 'too few to say')", name=op.f("gate_reports_verdict_known")),
        sa.ForeignKeyConstraint(*VERSION, name=op.f("gate_reports_model_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("gate_reports_pkey")),
    )
    op.create_index("gate_reports_last", "gate_reports", ["model", "version", "id"])
    op.add_column("model_events", sa.Column("gate", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("model_events", "gate")
    op.drop_table("gate_reports")
    op.drop_table("version_scores")
