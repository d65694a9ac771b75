"""`alembic check` on a real, freshly migrated PostgreSQL: fails when tables.py or a spec has no migration."""

from alembic import command

from devstack.embedded import start_postgres
from migrations.revisions import config, upgrade
from tests.running import temporary_open_folder


def main() -> None:
    with temporary_open_folder() as folder:
        postgres = start_postgres(folder / "postgres")
        try:
            upgrade(postgres.url)
            command.check(config(postgres.url))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
