"""What a task has lost and needs, each in a column of its own, where two values stood for it.

The release before limits `attempt - attempt_base` and writes `published_at = '-infinity'` where a task needs a message.
It goes on doing so on this schema. This release keeps `attempt_base` for it and reads what it writes as it is: minus
infinity is long ago, and an attempt that it took back does not count. What needs a message for this release has lost
one for the release before, which sends another after REPUBLISH_AFTER_SECONDS.

The release after this one drops `attempt_base`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tasks",
        sa.Column(
            "lost_attempts",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="attempts whose worker was lost, since the task was accepted or replayed",
        ),
    )
    op.add_column(
        "tasks",
        sa.Column(
            "needs_message",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="while PENDING: no message names it, and rescue is to send one",
        ),
    )
    op.alter_column("rescue_rounds", "steady_since", existing_type=sa.DateTime(timezone=True), nullable=True)
    op.execute("UPDATE rescue_rounds SET steady_since = NULL WHERE steady_since = '-infinity'")


def downgrade() -> None:
    op.execute("UPDATE rescue_rounds SET steady_since = '-infinity' WHERE steady_since IS NULL")
    op.alter_column("rescue_rounds", "steady_since", existing_type=sa.DateTime(timezone=True), nullable=False)
    op.execute("UPDATE tasks SET published_at = '-infinity' WHERE needs_message")
    op.drop_column("tasks", "needs_message")
    op.drop_column("tasks", "lost_attempts")
