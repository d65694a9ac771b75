"""Which inputs of a failed task are at fault."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tasks",
        sa.Column(
            "faults",
            JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="which of its inputs are at fault: position, field, detail",
        ),
    )


def downgrade() -> None:
    op.drop_column("tasks", "faults")
