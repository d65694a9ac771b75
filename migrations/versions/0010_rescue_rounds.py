"""When rescue's rounds reached PostgreSQL: leases that ended while it was away cost no attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rescue_rounds",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="there is one row"),
        sa.Column(
            "latest_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when a round of rescue last reached PostgreSQL",
        ),
        sa.Column(
            "steady_since",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="since when PostgreSQL is there without a gap; leases that ended before cost no attempt",
        ),
        sa.CheckConstraint("one", name="rescue_rounds_only_one"),
        sa.PrimaryKeyConstraint("one", name="rescue_rounds_pkey"),
        comment="By what rescue tells a lost worker from a PostgreSQL that was away",
    )


def downgrade() -> None:
    op.drop_table("rescue_rounds")
