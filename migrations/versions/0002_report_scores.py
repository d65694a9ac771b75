"""The report scorer's predictions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report_scores",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="place in the task, from 0"),
        sa.Column("abuse_type", sa.Text(), nullable=False),
        sa.Column("report_text_len", sa.Integer(), nullable=False),
        sa.Column("profile_rating", sa.Double(), nullable=False),
        sa.Column("popularity", sa.Integer(), nullable=False),
        sa.Column("lifetime_matches_created", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "position", name="report_scores_pkey"),
    )
    op.create_index("report_scores_scored_at", "report_scores", ["scored_at"], unique=False, postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("report_scores_scored_at", table_name="report_scores", postgresql_using="brin")
    op.drop_table("report_scores")
