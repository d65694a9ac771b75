"""The whole platform through PgBouncer in transaction mode, by one DATABASE_URL, as docs/how-to/pooler.md says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg2  # type: ignore[import-untyped]
import pytest
from sqlalchemy import make_url, text

from devstack.unprivileged import settle
from export import manifest
from migrations.revisions import head
from models.image_classifier.examples import EIGHT
from store.address import UnusableUrl
from store.engine import connect
from tests.conftest import Servers, as_app, create_database, empty_redis
from tests.databases import Ask, each_driver
from tests.receiving import SECRET, Receiver, receiving
from tests.running import REPORT, ROOT, Platform, eventually, free_port, temporary_open_folder

POOLED = "?prepared_statement_cache_size=0"
CONNECTIONS = 5  # of the pooler to PostgreSQL, for programs that keep three times as many open
QUICK = {
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "REPUBLISH_AFTER_SECONDS": "2",
    "LEASE_SECONDS": "2",
    "WEBHOOK_SWEEP_SECONDS": "1",
    "WEBHOOK_ALLOW_PRIVATE": "true",
    "WEBHOOK_SECRET": SECRET,
    "WORKER_MODELS": "report_scorer,text_classifier",
    "WORKER_CONCURRENCY": "2",
}


@dataclass(frozen=True)
class Pooler:
    """PgBouncer before a database that is empty at first."""

    port: int
    owner: str
    """The owner's URL, past the pooler."""

    def through(self, url: str, database: str = "pooled") -> str:
        return make_url(url).set(port=self.port, database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def pooler(servers: Servers) -> Iterator[Pooler]:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("PgBouncer is not installed (Debian's package pgbouncer)")
    owner = create_database(servers, "pooled")
    users = [make_url(owner), make_url(as_app(owner))]
    with temporary_open_folder() as folder:
        port = free_port()
        (folder / "users.txt").write_text("".join(f'"{user.username}" "{user.password}"\n' for user in users))
        (folder / "pgbouncer.ini").write_text(f"""
[databases]
pooled = host=127.0.0.1 port={users[0].port}
statement = host=127.0.0.1 port={users[0].port} dbname=pooled pool_mode=statement
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder / "users.txt"}
pool_mode = transaction
default_pool_size = {CONNECTIONS}
""")
        _, account = settle(folder)  # it refuses to run as root
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [found, str(folder / "pgbouncer.ini")],
                stdout=log,
                stderr=log,
                user=account.uid,
                group=account.gid,
                extra_groups=account.groups,
            )
        pooler = Pooler(port, owner)
        eventually(lambda: _answers(pooler.through(owner)))
        yield pooler
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(url).close()
        return True
    return False


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def migrated(pooler: Pooler) -> Pooler:
    """Migrate by two programs at once, as containers that start together do."""
    settings = {
        "DATABASE_URL": pooler.through(as_app(pooler.owner)) + POOLED,
        "MIGRATIONS_DATABASE_URL": pooler.through(pooler.owner) + POOLED,
    }
    with ThreadPoolExecutor() as at_once:
        list(at_once.map(lambda _: run("alembic", "upgrade", "head", **settings), range(2)))
    return pooler


@pytest.fixture(scope="module")
def through(
    migrated: Pooler, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, httpx.Client]]:
    """Run every program through the pooler, keys required, and return the platform and a client with a key."""
    url = migrated.through(as_app(migrated.owner)) + POOLED
    made = run("cli.keys", "create", "somebody", DATABASE_URL=migrated.through(migrated.owner) + POOLED)
    key = {"Authorization": f"Bearer {made.stdout.strip()}"}
    logs = tmp_path_factory.mktemp("pooled")
    with ExitStack() as running:
        platform = running.enter_context(Platform(url, empty_redis(servers, 4), logs, AUTH="required", **QUICK))
        running.callback(platform.start_webhooks().stop)
        client = running.enter_context(httpx.Client(base_url=platform.url, headers=key, timeout=60))
        yield platform, client
    for log in logs.iterdir():
        said = log.read_text()
        assert "prepared statement" not in said, said[-3000:]
        assert "Traceback" not in said, said[-3000:]


def ask(pooler: Pooler, query: str, **values: Any) -> Any:
    engine = connect(pooler.owner)
    try:
        with engine.connect() as connection:
            return connection.scalar(text(query), values)
    finally:
        engine.dispose()


def test_migrations_reach_the_newest_schema_and_leave_no_lock(migrated: Pooler) -> None:
    assert ask(migrated, "SELECT version_num FROM alembic_version") == head()
    assert ask(migrated, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_the_role_has_the_settings_that_a_session_is_not_given(migrated: Pooler) -> None:
    url = migrated.through(as_app(migrated.owner))
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('idle_in_transaction_session_timeout')")
        assert cursor.fetchone() == ("30s",)
    connection.close()


@each_driver
def test_a_pooler_that_the_url_does_not_name_is_found_out(ask: Ask, migrated: Pooler) -> None:
    with pytest.raises(UnusableUrl, match="prepared_statement_cache_size=0"):
        ask(migrated.through(migrated.owner))
    assert ask(migrated.through(migrated.owner) + POOLED).application == "millrace"


UNFIT = {
    "statement mode": ("statement", POOLED, "pool_mode = statement, .* set pool_mode = transaction"),
    "statement mode, unnamed": ("statement", "", "pool_mode = statement, .* set pool_mode = transaction"),
    "options": ("pooled", f"{POOLED}&options=-c%20statement_timeout%3D5s", "remove options from the URL, and give the"),
}


@each_driver
@pytest.mark.parametrize(("database", "query", "words"), UNFIT.values(), ids=UNFIT)
def test_a_pooler_that_does_not_do_what_programs_need_is_named_with_the_remedy(
    ask: Ask, migrated: Pooler, database: str, query: str, words: str
) -> None:
    with pytest.raises(UnusableUrl, match=words):
        ask(migrated.through(migrated.owner, database) + query)


@pytest.mark.parametrize(("database", "query", "words"), UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize(
    "command", [["alembic", "upgrade", "head"], ["cli.keys", "list"], ["export", "--once"]], ids=lambda one: one[0]
)
def test_a_program_says_so_in_one_sentence(
    command: list[str], migrated: Pooler, database: str, query: str, words: str, tmp_path: Path
) -> None:
    places = {"DATABASE_URL": migrated.through(migrated.owner, database) + query, "EXPORT_URL": tmp_path.as_uri()}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **places}, capture_output=True, text=True
    )
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1
    assert re.search(words, said[-1]), said
    assert not re.search("Traceback|psycopg2|unsupported startup|closed the connection", " ".join(said)), said


@pytest.mark.parametrize(("database", "query", "words"), UNFIT.values(), ids=UNFIT)
def test_make_up_says_so_too(
    migrated: Pooler, servers: Servers, database: str, query: str, words: str, tmp_path: Path
) -> None:
    places = {
        "DATABASE_URL": migrated.through(migrated.owner, database) + query,
        "REDIS_URL": empty_redis(servers, 4),
        "MILLRACE_FOLDER": str(tmp_path / "millrace"),
        "PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
    }
    up = [Path(sys.executable).with_name("millrace"), "up"]
    done = subprocess.run(up, env={**os.environ, **places}, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert re.search(f"DATABASE_URL names a database that cannot be used: .*{words}", said), said
    assert "Traceback" not in said


def test_many_clients_at_once_get_what_they_submitted(through: tuple[Platform, httpx.Client]) -> None:
    """A busy machine may let one wait for a connection until it gets 503, which asks to come back; nothing else."""
    _, client = through
    texts = [{"text": "The goalie made 40 saves."}] * 9

    def ask(method: str, path: str, **request: Any) -> Any:
        answer = eventually(lambda: (a := client.request(method, path, **request)).status_code != 503 and a, every=1)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def read(task_id: str) -> Any:
        return ask("GET", f"/task/{task_id}", headers={"Prefer": "wait=30"})

    def submit(number: int) -> None:
        for _ in range(8):
            report = {**REPORT, "report_id": f"r-{number}"}
            first = ask("POST", "/submit", json=[report] * 3, headers={"Idempotency-Key": f"k-{number}"})
            task = read(first["task_id"])
            assert (task["status"], task["report_id"]) == ("SUCCESS", [f"r-{number}"] * 3)
            other = ask("POST", "/models/text_classifier/submit", json=texts)
            assert len(read(other["task_id"])["label"]) == 9
            assert ask("POST", "/predict", json=REPORT)["score"]
            assert ask("GET", "/tasks", params={"limit": 5})["tasks"]
            assert ask("GET", "/health/ready")["ready"]

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(submit, range(12)))


def test_rescue_brings_back_what_a_killed_worker_held_and_expires_what_is_late(
    through: tuple[Platform, httpx.Client], migrated: Pooler, servers: Servers
) -> None:
    platform, client = through
    platform.worker.stop()
    empty_redis(servers, 4)
    lost = client.post("/submit", json=[REPORT] * 9).json()["task_id"]
    late = client.post("/submit", params={"deadline": "1"}, json=[REPORT]).json()["task_id"]
    empty_redis(servers, 4)
    eventually(lambda: client.get(f"/task/{late}").json()["status"] == "EXPIRED")
    platform.worker = platform.start_worker()
    eventually(lambda: client.get(f"/task/{lost}").json()["status"] == "SUCCESS", within=60)


def test_callbacks_come(through: tuple[Platform, httpx.Client]) -> None:
    _, client = through

    def called(receiver: Receiver) -> bool:
        return bool(receiver.received)

    with receiving() as receiver:
        client.post("/submit", params={"callback_url": f"{receiver.url}/done"}, json=[REPORT])
        eventually(lambda: called(receiver), within=60)


def test_rescue_and_webhooks_are_known_to_be_alive(through: tuple[Platform, httpx.Client]) -> None:
    for program in ("rescue", "webhooks"):
        assert run(f"{program}.liveness").stdout == f"{program} is alive\n"


def test_cancel_and_replay(through: tuple[Platform, httpx.Client], migrated: Pooler) -> None:
    platform, client = through
    task = client.post("/models/image_classifier/submit", json=[{"image": EIGHT}]).json()["task_id"]
    assert client.post(f"/task/{task}/cancel").json()["status"] == "REVOKED"
    failed = client.post("/submit", json=[REPORT]).json()["task_id"]
    eventually(lambda: client.get(f"/task/{failed}").json()["status"] == "SUCCESS", within=60)
    broken = client.post("/models/image_classifier/submit", json=[{"image": EIGHT}]).json()["task_id"]
    engine = connect(migrated.owner)
    with engine.begin() as connection:
        statement = text("UPDATE tasks SET status = 'FAILURE', error = 'x', finished_at = now() WHERE id = :id")
        connection.execute(statement, {"id": broken})
    engine.dispose()
    run("cli.replay", broken, DATABASE_URL=platform.environment["DATABASE_URL"])
    assert client.get(f"/task/{broken}").json()["status"] == "PENDING"


def test_questions_are_answered(through: tuple[Platform, httpx.Client], migrated: Pooler) -> None:
    url = migrated.through(migrated.owner) + POOLED
    command = [str(Path(sys.executable).with_name("millrace")), "sql", "top-priority", "--csv"]
    said = subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True)
    assert "MSG" in said.stdout, said.stderr


def test_an_export_reads_through_it_and_locks_for_one_transaction(
    through: tuple[Platform, httpx.Client], migrated: Pooler, tmp_path: Path
) -> None:
    platform, client = through
    task = client.post("/submit", json=[REPORT] * 9).json()["task_id"]
    eventually(lambda: client.get(f"/task/{task}").json()["status"] == "SUCCESS", within=60)
    run("export", "--once", DATABASE_URL=platform.environment["DATABASE_URL"], EXPORT_URL=tmp_path.as_uri())
    rows = ask(migrated, "SELECT count(*) FROM report_scores")
    found = [
        manifest.verified(tmp_path.as_uri(), "report_scorer", day)
        for day in manifest.days(tmp_path.as_uri(), "report_scorer")
    ]
    assert sum(one.rows for one in found if one) == rows >= 9
    eventually(lambda: ask(migrated, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0)  # rescue's, too
