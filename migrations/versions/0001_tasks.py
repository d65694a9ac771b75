"""Tasks, their inputs, and the workers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ordered by time"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=True, comment="the version that scored it"),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column(
            "attempt",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="how often a worker has claimed it",
        ),
        sa.Column(
            "attempt_base",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="attempts that no longer count: before a replay, or given back by a stopping worker",
        ),
        sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False, comment="0 high, 1 normal, 2 low"),
        sa.Column("n_inputs", sa.Integer(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="start of the latest attempt"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True, comment="until when a worker owns it"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed, for a person"),
        sa.Column("traceparent", sa.Text(), nullable=True, comment="the trace of the request that it came by (W3C)"),
        sa.CheckConstraint(
            "status IN ('PENDING', 'STARTED', 'SUCCESS', 'FAILURE', 'REVOKED', 'EXPIRED')", name="tasks_status_known"
        ),
        sa.CheckConstraint("n_inputs > 0", name="tasks_n_inputs_positive"),
        sa.PrimaryKeyConstraint("id", name="tasks_pkey"),
        comment="One row a submission",
    )
    op.create_index(
        "tasks_deadline",
        "tasks",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("deadline IS NOT NULL AND status IN ('PENDING', 'STARTED')"),
    )
    op.create_index(
        "tasks_keyed",
        "tasks",
        ["submitted_at"],
        unique=False,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("tasks_failed", "tasks", ["id"], unique=False, postgresql_where=sa.text("status = 'FAILURE'"))
    op.create_index(
        "tasks_idempotency_key",
        "tasks",
        ["client", "idempotency_key"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("tasks_model", "tasks", ["model", "id"], unique=False)
    op.create_index(
        "tasks_pending",
        "tasks",
        ["model", "priority", "published_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_index(
        "tasks_started", "tasks", ["lease_until"], unique=False, postgresql_where=sa.text("status = 'STARTED'")
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False, comment="one worker process"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("tasks_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("inputs_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "cache_hits",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="of the inputs, by the score cache",
        ),
        sa.Column("busy_seconds", sa.Double(), server_default="0", nullable=False, comment="spent on what is done"),
        sa.Column(
            "working_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="on a chunk for this model; null: on none",
        ),
        sa.Column("ready_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", "model", name="workers_pkey"),
        comment="Worker processes with the models that they have loaded; a row not seen for long is dead",
    )
    op.create_table(
        "task_inputs",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column(
            "payload",
            sa.LargeBinary(),
            nullable=False,
            comment="validated inputs in JSON: an array, or one array a field",
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="task_inputs_task_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", name="task_inputs_pkey"),
        comment="Inputs that still wait for a score; a failed task keeps its row, so that it can be replayed",
    )


def downgrade() -> None:
    op.drop_table("task_inputs")
    op.drop_table("workers")
    op.drop_index("tasks_started", table_name="tasks", postgresql_where=sa.text("status = 'STARTED'"))
    op.drop_index("tasks_pending", table_name="tasks", postgresql_where=sa.text("status = 'PENDING'"))
    op.drop_index("tasks_model", table_name="tasks")
    op.drop_index(
        "tasks_idempotency_key",
        table_name="tasks",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.drop_index("tasks_keyed", table_name="tasks", postgresql_where=sa.text("idempotency_key IS NOT NULL"))
    op.drop_index("tasks_deadline", table_name="tasks")
    op.drop_index("tasks_failed", table_name="tasks", postgresql_where=sa.text("status = 'FAILURE'"))
    op.drop_table("tasks")
