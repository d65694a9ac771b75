"""The pictures of live evaluations, beside their figures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("pictures", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("evaluations", "pictures")
