"""What predictions are made of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "explanations",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("base", sa.Double(), nullable=False),
        sa.Column("contributions", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("explained_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "position", name=op.f("explanations_pkey")),
    )


def downgrade() -> None:
    op.drop_table("explanations")
