"""Indexes for lists of tasks and for the callers' own keys, built while the programs go on."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEXES = {
    "tasks_listed": "tasks (model, status, submitted_at, id)",
    "tasks_of_client": "tasks (client, model, status, submitted_at, id) WHERE client IS NOT NULL",
    "report_scores_report_id": "report_scores (report_id) WHERE report_id IS NOT NULL",
    "text_labels_document_id": "text_labels (document_id) WHERE document_id IS NOT NULL",
    "translations_id": "translations (id) WHERE id IS NOT NULL",
    "image_labels_image_id": "image_labels (image_id) WHERE image_id IS NOT NULL",
}
# The release before works without this one: its lists by model are as slow as its lists by state are.
REPLACED = {"tasks_model": "tasks (model, id)"}


def upgrade() -> None:
    _replace(REPLACED, INDEXES)


def downgrade() -> None:
    _replace(INDEXES, REPLACED)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    with op.get_context().autocommit_block():
        for name, columns in new.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted attempt leaves one that is invalid
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")
        for name in old:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
