"""Who has replayed or cancelled which tasks. The release before neither writes nor reads it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("n_tasks", sa.Integer(), nullable=False),
        sa.Column("filter", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("part_of", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "event IN ('replayed', 'cancelled', 'begun', 'stopped')", name=op.f("task_events_event_known")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("task_events_task_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("task_events_job_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["part_of"], ["task_events.id"], name=op.f("task_events_part_of_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("task_events_pkey")),
    )
    for name, column in (("of_task", "task_id"), ("of_job", "job_id"), ("parts", "part_of")):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"task_events_{name}", "task_events", [column], postgresql_where=where)
    op.create_index("task_events_listed", "task_events", ["id"], postgresql_where=sa.text("part_of IS NULL"))
    of_client = sa.text("part_of IS NULL AND client IS NOT NULL")
    op.create_index("task_events_of_client", "task_events", ["client", "id"], postgresql_where=of_client)


def downgrade() -> None:
    op.drop_table("task_events")
