"""Outcomes of predictions, and the draws by which reviewers got them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SAME = ["model", "key", "task_id", "position", "decided_at", "outcome", "value", "reviewer", "source", "withdrawn"]


def upgrade() -> None:
    op.create_table(
        "outcomes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("everyones", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("(task_id IS NULL) = (position IS NULL)", name=op.f("outcomes_place_whole")),
        sa.CheckConstraint("key IS NOT NULL OR task_id IS NOT NULL", name=op.f("outcomes_place_given")),
        sa.CheckConstraint(
            "num_nonnulls(outcome, value) = CASE WHEN withdrawn THEN 0 ELSE 1 END", name=op.f("outcomes_one_outcome")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("outcomes_pkey")),
    )
    op.create_index("outcomes_same", "outcomes", [*SAME, "client"], unique=True, postgresql_nulls_not_distinct=True)
    with_task = sa.text("task_id IS NOT NULL")
    op.create_index("outcomes_of_task", "outcomes", ["task_id", "position"], postgresql_where=with_task)
    op.create_index("outcomes_received_at", "outcomes", ["received_at"], postgresql_using="brin")
    op.create_table(
        "draws",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("pool", sa.Integer(), nullable=True),
        sa.Column("chance", sa.Double(), nullable=True),
        sa.Column("second_pending", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("second_of", sa.BigInteger(), nullable=True),
        sa.Column("drawn_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("policy IN ('ranked', 'random', 'second')", name=op.f("draws_policy_known")),
        sa.CheckConstraint("ending IN ('decided', 'released', 'expired')", name=op.f("draws_ending_known")),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("draws_ending_whole")),
        sa.ForeignKeyConstraint(["second_of"], ["draws.id"], name=op.f("draws_second_of_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("draws_pkey")),
    )
    place = ["model", "task_id", "position"]
    op.create_index("draws_open", "draws", place, unique=True, postgresql_where=sa.text("ended_at IS NULL"))
    expired = sa.text("ending = 'expired'")
    op.create_index("draws_expired", "draws", ["model", "ended_at"], postgresql_where=expired)
    op.create_index("draws_of_task", "draws", ["task_id", "position"])
    pending = sa.text("second_pending")
    op.create_index("draws_second_pending", "draws", ["model", "id"], postgresql_where=pending)
    second = sa.text("second_of IS NOT NULL")
    op.create_index("draws_second_of", "draws", ["second_of"], postgresql_where=second)


def downgrade() -> None:
    for table in ("draws", "outcomes"):
        op.execute(f"DROP TABLE {table} CASCADE")  # with the views of them
