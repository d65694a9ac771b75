"""Jobs that replay or cancel the tasks of a filter. The release before makes none, and neither reads nor ends them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

ONLY_OF_FILES: dict[str, TypeEngine[Any]] = {"model": sa.Text(), "priority": sa.SmallInteger(), "on_invalid": sa.Text()}


def upgrade() -> None:
    for name, kind in ONLY_OF_FILES.items():
        op.alter_column("jobs", name, existing_type=kind, nullable=True)
    op.drop_constraint(op.f("jobs_kind_known"), "jobs")
    op.create_check_constraint(op.f("jobs_kind_known"), "jobs", "kind IN ('file', 'replay', 'cancel')")
    op.create_check_constraint(
        op.f("jobs_file_whole"),
        "jobs",
        "kind <> 'file' OR model IS NOT NULL AND priority IS NOT NULL AND on_invalid IS NOT NULL",
    )
    op.create_table(
        "bulk_jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("task_limit", sa.Integer(), nullable=False),
        sa.Column("n_chosen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_changed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_left_alone", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("bulk_jobs_job_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("bulk_jobs_pkey")),
    )
    op.create_table(
        "bulk_tasks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["bulk_jobs.job_id"], name=op.f("bulk_tasks_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "task_id", name=op.f("bulk_tasks_pkey")),
    )


def downgrade() -> None:
    op.drop_table("bulk_tasks")
    op.drop_table("bulk_jobs")
    op.execute("DELETE FROM jobs WHERE kind <> 'file'")
    op.drop_constraint(op.f("jobs_file_whole"), "jobs")
    op.drop_constraint(op.f("jobs_kind_known"), "jobs")
    op.create_check_constraint(op.f("jobs_kind_known"), "jobs", "kind IN ('file')")
    for name, kind in ONLY_OF_FILES.items():
        op.alter_column("jobs", name, existing_type=kind, nullable=False)
