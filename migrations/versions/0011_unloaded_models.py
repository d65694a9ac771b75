"""Models that a worker should serve and could not load."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unloaded_models",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why a worker of the host could not load the model"),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("host", "model", name="unloaded_models_pkey"),
        comment="Models that a worker should serve and could not load; a row not seen for long is over",
    )


def downgrade() -> None:
    op.drop_table("unloaded_models")
