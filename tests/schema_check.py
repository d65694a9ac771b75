"""`alembic check` on a real, freshly migrated PostgreSQL: fails when tables.py or a spec has no migration."""

import tempfile
from pathlib import Path

from alembic import command

from cli.embedded import start_postgres
from migrations.revisions import config, upgrade


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        postgres = start_postgres(Path(folder) / "postgres")
        try:
            upgrade(postgres.url)
            command.check(config(postgres.url))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
