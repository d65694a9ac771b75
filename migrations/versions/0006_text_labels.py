"""The text classifier's predictions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "text_labels",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="place in the task, from 0"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("labels", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("probabilities", sa.ARRAY(sa.Double()), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "position", name="text_labels_pkey"),
    )
    op.create_index("text_labels_scored_at", "text_labels", ["scored_at"], unique=False, postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("text_labels_scored_at", table_name="text_labels", postgresql_using="brin")
    op.drop_table("text_labels")
