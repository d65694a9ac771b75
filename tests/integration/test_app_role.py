"""The programs' role `millrace_app` does what they do, as the shared platforms show, and nothing else."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from psycopg2.errors import InsufficientPrivilege  # type: ignore[import-untyped]
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from cli.keys import keys
from devstack import local
from migrations.settings import addresses
from store.engine import connect
from store.tables import ANALYST, APP
from tests.conftest import Servers, as_app, new_database
from tests.running import REPORT, Platform


@pytest.fixture(scope="module")
def url(servers: Servers, template: str) -> str:
    return new_database(servers, template)  # one for all: no test here changes anything


@pytest.fixture(scope="module")
def owner(url: str) -> Iterator[Engine]:
    owner = connect(url)
    yield owner
    owner.dispose()


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[Engine]:
    app = connect(as_app(url))
    yield app
    app.dispose()


def test_every_connection_of_the_programs_is_in_the_name_of_the_role(platform: Platform, owner: Engine) -> None:
    platform.finished(platform.submit(REPORT))
    sessions = "SELECT usename, count(*) FROM pg_stat_activity WHERE datname = :name GROUP BY 1"
    database = make_url(platform.database_url)
    with owner.connect() as connection:
        who = connection.execute(text(sessions), {"name": database.database}).all()
    assert dict(map(tuple, who))[APP] >= 3  # handler, worker, rescue: none of them is given the owner's password


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (n int)",
        "CREATE VIEW mine AS SELECT 1 AS n",
        "CREATE INDEX mine ON tasks (client)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE EXTENSION pg_trgm",
        "ALTER TABLE tasks ADD COLUMN mine int",
        "ALTER TABLE tasks DISABLE TRIGGER ALL",
        f"ALTER ROLE {APP} SUPERUSER",
        "DROP TABLE report_scores",
        "DROP INDEX tasks_pending",
        "TRUNCATE tasks CASCADE",
        "TRUNCATE report_scores",
        "DELETE FROM tasks",
        "DELETE FROM report_scores",
        "DELETE FROM webhooks",
        "SELECT * FROM erasures",
        "INSERT INTO erasures (model, \"by\") VALUES ('m', 'me')",
        "INSERT INTO deleted_days (model, day, predictions) VALUES ('m', now(), 1)",
        "DELETE FROM deleted_days",
        "UPDATE outcomes SET outcome = 'abuse'",
        "DELETE FROM outcomes",
        "UPDATE draws SET chance = 1",
        "DELETE FROM draws",
        "INSERT INTO evaluations (model) VALUES ('mine')",
        "DELETE FROM evaluations",
        "UPDATE report_scores SET score = 0",
        "UPDATE text_labels SET label = 'x'",
        "UPDATE task_inputs SET payload = ''",
        "INSERT INTO api_keys (id, client, hash) VALUES ('i', 'c', sha256(''))",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE api_keys SET hash = sha256('')",
        "UPDATE api_keys SET role = 'admin'",
        "DELETE FROM api_keys",
        "UPDATE alembic_version SET version_num = '0001'",
        "SET LOCAL ROLE analyst",
        "SET LOCAL ROLE millrace",
        "SET LOCAL session_replication_role = replica",
        "COPY tasks TO PROGRAM 'true'",
        "COPY tasks FROM '/etc/passwd'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT * FROM pg_authid",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'millrace'",
    ],
)
def test_the_programs_role_cannot(app: Engine, owner: Engine, statement: str) -> None:
    with owner.connect() as session:
        session.execute(text("SELECT 1"))  # somebody whom it could end
        with app.connect() as connection, pytest.raises(DBAPIError) as refused:
            connection.execute(text(statement))
    assert isinstance(refused.value.orig, InsufficientPrivilege), refused.value


def test_a_table_that_nobody_has_marked_is_closed_to_both_roles(engine: Engine) -> None:
    may = text("SELECT has_table_privilege(:role, 'unmarked', 'SELECT')")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE unmarked (n int)"))
        assert [connection.scalar(may, {"role": role}) for role in (APP, ANALYST)] == [False, False]


def test_neither_role_owns_or_inherits_anything(owner: Engine) -> None:
    with owner.connect() as connection:
        for role in (APP, ANALYST):
            values = {"role": role}
            attributes = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
            assert connection.scalar(text(f"SELECT {attributes} FROM pg_roles WHERE rolname = :role"), values) is False
            owned = "SELECT count(*) FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner WHERE rolname = :role"
            assert connection.scalar(text(owned), values) == 0
            member = "SELECT count(*) FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = member WHERE rolname = :role"
            assert connection.scalar(text(member), values) == 0


def test_the_stored_password_is_a_scram_verifier(owner: Engine, url: str) -> None:
    with owner.connect() as connection:
        stored = connection.scalar(text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"), {"role": APP})
    assert stored.startswith("SCRAM-SHA-256$")
    assert str(make_url(as_app(url)).password) not in stored


def test_migrations_are_the_owners_and_the_programs_url_names_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, programs = "postgresql://owner@somewhere/millrace", f"postgresql://{APP}@somewhere/millrace"
    monkeypatch.setenv("DATABASE_URL", programs)
    monkeypatch.setenv("MIGRATIONS_DATABASE_URL", owner)
    assert addresses() == (owner, programs)
    assert local.database_url() == owner  # keys are made by the owner too
    monkeypatch.setenv("MIGRATIONS_DATABASE_URL", "")
    assert addresses() == (programs, None)


def test_a_key_cannot_be_made_as_the_programs_and_it_says_who_can(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", as_app(url))
    refused = CliRunner().invoke(keys, ["create", "shop"])
    assert refused.exit_code == 1
    assert refused.output == "millrace keys: this is for the owner of the database; set MIGRATIONS_DATABASE_URL\n"
