"""How far columns have moved, day by day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("against", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("reference_rows", sa.BigInteger(), nullable=False),
        sa.Column("psi", sa.Double(), nullable=False),
        sa.Column("band", sa.Double(), nullable=False),
        sa.Column("jensen_shannon", sa.Double(), nullable=False),
        sa.Column("missing", sa.Double(), nullable=False),
        sa.Column("unseen", sa.Double(), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=True),
        sa.Column("findings", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("against IN ('training', 'week')", name=op.f("drift_against_known")),
        sa.PrimaryKeyConstraint("model", "version", "day", "column_name", "against", name=op.f("drift_pkey")),
    )


def downgrade() -> None:
    op.drop_table("drift")
