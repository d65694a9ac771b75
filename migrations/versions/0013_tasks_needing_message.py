"""An index of the tasks that need a message, which are few, built while the programs go on."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_needing_message")  # an interrupted attempt leaves one
        op.execute("CREATE INDEX CONCURRENTLY tasks_needing_message ON tasks (model, priority) WHERE needs_message")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_needing_message")
