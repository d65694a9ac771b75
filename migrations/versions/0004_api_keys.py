"""API keys."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="public part of the key"),
        sa.Column("client", sa.Text(), nullable=False, comment="whose tasks are submitted and read with it"),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the key"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True, comment="to the minute"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(hash) = 32", name="api_keys_hash_is_sha256"),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        comment="Who may use the API; not for analysts",
    )


def downgrade() -> None:
    op.drop_table("api_keys")
