"""The memory of each worker process. The release before neither writes nor reads it."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workers",
        sa.Column(
            "resident_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="memory of the process; null: told by a release that did not measure",
        ),
    )


def downgrade() -> None:
    op.drop_column("workers", "resident_bytes")
