"""Callbacks of tasks that have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="may hold a secret of its receiver"),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="next attempt; null before the task has ended and after the last attempt",
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True, comment="HTTP status of the latest answer"),
        sa.Column("last_error", sa.Text(), nullable=True, comment="why the latest attempt got no answer"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="webhooks_task_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", name="webhooks_pkey"),
        comment="Whom to tell that a task has ended",
    )
    op.create_index(
        "webhooks_due", "webhooks", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index(
        "webhooks_waiting",
        "webhooks",
        ["task_id"],
        unique=False,
        postgresql_where=sa.text("due_at IS NULL AND delivered_at IS NULL AND given_up_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "webhooks_waiting",
        table_name="webhooks",
        postgresql_where=sa.text("due_at IS NULL AND delivered_at IS NULL AND given_up_at IS NULL"),
    )
    op.drop_index("webhooks_due", table_name="webhooks", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_table("webhooks")
