"""Tasks of bulk jobs, a hundred in a row: choosing 100,000 took 2.5 s, most of it for rows and their foreign key.

Release 0.1.0 makes no bulk jobs. Those that a later program has begun go on.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.rename_table("bulk_tasks", "bulk_tasks_one_a_row")
    op.execute("ALTER INDEX bulk_tasks_pkey RENAME TO bulk_tasks_one_a_row_pkey")
    _create(
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        key="number",
    )
    op.execute(
        """
        INSERT INTO bulk_tasks (job_id, number, task_ids)
        SELECT job_id, place / 100, array_agg(task_id ORDER BY place)
        FROM (SELECT job_id, task_id, row_number() OVER (PARTITION BY job_id ORDER BY task_id DESC) - 1 AS place
              FROM bulk_tasks_one_a_row) AS placed
        GROUP BY job_id, place / 100
        """
    )
    op.drop_table("bulk_tasks_one_a_row")


def downgrade() -> None:
    op.rename_table("bulk_tasks", "bulk_tasks_in_rows")
    op.execute("ALTER INDEX bulk_tasks_pkey RENAME TO bulk_tasks_in_rows_pkey")
    _create(sa.Column("task_id", sa.Uuid(), nullable=False), key="task_id")
    op.execute("INSERT INTO bulk_tasks (job_id, task_id) SELECT job_id, unnest(task_ids) FROM bulk_tasks_in_rows")
    op.drop_table("bulk_tasks_in_rows")


def _create(*columns: sa.Column[object], key: str) -> None:
    op.create_table(
        "bulk_tasks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["job_id"], ["bulk_jobs.job_id"], name=op.f("bulk_tasks_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", key, name=op.f("bulk_tasks_pkey")),
    )
