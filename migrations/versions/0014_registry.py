"""The registry of models; the role of an API key; and the version under which a task was accepted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATES = "IN ('candidate', 'live', 'shadow', 'retired')"


def upgrade() -> None:
    op.create_table(
        "registry",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("one", name=op.f("registry_only_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("registry_pkey")),
    )
    op.execute("INSERT INTO registry DEFAULT VALUES")
    op.create_table(
        "models",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("models_pkey")),
        sa.UniqueConstraint("table_name", name=op.f("models_table_name_key")),
    )
    op.create_table(
        "model_versions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="candidate", nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("schema", postgresql.JSONB(), nullable=True),
        sa.Column("manifest", postgresql.JSONB(), nullable=False),
        sa.Column("evaluation", postgresql.JSONB(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint(f"state {STATES}", name=op.f("model_versions_state_known")),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("model_versions_model_fkey")),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("model_versions_pkey")),
    )
    live = sa.text("state IN ('live')")
    op.create_index("model_versions_live", "model_versions", ["model"], unique=True, postgresql_where=live)
    op.create_index("model_versions_digest", "model_versions", ["model", "digest"], unique=True)
    op.create_table(
        "model_artifacts",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "part", name=op.f("model_artifacts_pkey")),
    )
    # What is compressed already, as most weights are, would be compressed again, and decompressed by each worker.
    op.execute("ALTER TABLE model_artifacts ALTER COLUMN content SET STORAGE EXTERNAL")
    op.create_table(
        "model_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("old_state", sa.Text(), nullable=True),
        sa.Column("new_state", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("model_events_model_version_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("model_events_pkey")),
    )
    op.create_index("model_events_of_model", "model_events", ["model", "id"])
    op.add_column("tasks", sa.Column("accepted_version", sa.Text(), nullable=True))
    op.add_column("api_keys", sa.Column("role", sa.Text(), server_default="submit", nullable=False))
    op.create_check_constraint(
        op.f("api_keys_role_known"), "api_keys", "role IN ('submit', 'read', 'triage', 'operate', 'admin')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("api_keys_role_known"), "api_keys")
    op.drop_column("api_keys", "role")
    op.drop_column("tasks", "accepted_version")
    for table in ("model_events", "model_artifacts", "model_versions", "models", "registry"):
        op.drop_table(table)
