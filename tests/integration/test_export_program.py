"""The export as a program: killed at any moment, in a constant memory, to a bucket, and through its command."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import duckdb
import httpx
import pytest
from click.testing import CliRunner
from moto.server import DomainDispatcherApplication, create_backend_app
from sqlalchemy import Engine, Table, text
from werkzeug.serving import make_server

from cli.export import export as command
from devstack.ports import METERED
from devstack.services import services
from devstack.settings import UpSettings
from export import manifest
from export.rounds import Exporter, Interrupted
from tests.conftest import APP_PASSWORD, as_app
from tests.exporting import DAY, export, exported, fill, make_model, names, stored, today
from tests.receiving import SECRET
from tests.running import ROOT, Program, eventually, free_port

BUCKET = "predictions"


@pytest.fixture
def table(engine: Engine) -> Table:
    return make_model(engine)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"{tmp_path.as_uri()}/exported"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exported"


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start the program, and end it if the test has not."""
    started: list[Program] = []

    def program(**settings: str) -> Program:
        environment = {"DATABASE_URL": as_app(database_url), "LOG_FORMAT": "json", **settings}
        started.append(Program("export", ["export"], environment, tmp_path))
        return started[-1]

    yield program
    for one in started:
        one.stop(signal.SIGKILL)


def unfinished(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob(".*")]


def test_killed_at_any_moment_it_leaves_no_day_wrong_and_the_next_round_makes_all_right(
    engine: Engine, table: Table, url: str, folder: Path, start: Callable[..., Program]
) -> None:
    pick = random.Random(7)  # noqa: S311
    now = today(engine)
    for kill in range(3):
        for ago in range(3):
            fill(engine, table, now - ago * DAY, 10_000, first=kill * 100_000)
        program = start(EXPORT_URL=url, EXPORT_INTERVAL_SECONDS="0.01")
        eventually(lambda: unfinished(folder), every=0.001)
        time.sleep(pick.choice([0, 0.02, 0.05, 0.1]))
        program.stop(how=signal.SIGKILL)
        for day in manifest.days(url, "kinds"):
            assert manifest.verified(url, "kinds", day), day
    assert set(names(export(engine, url))) <= {"day_exported"}
    assert [manifest.verified(url, "kinds", now - ago * DAY).rows for ago in range(3)] == [30_000] * 3  # type: ignore[union-attr]
    same = "count(*), count(DISTINCT (task_id, position)), sum(position), min(scored_at), max(scored_at)"
    with engine.connect() as connection:
        there = connection.execute(text(f"SELECT {same} FROM {table.name}")).one()
    assert duckdb.sql(f"SELECT {same} FROM '{folder}/*/*/*.parquet'").fetchall() == [tuple(there)]
    assert unfinished(folder) == []


PEAK = """
import sys
from export.__main__ import main
sys.argv = ["export", "--once"]
try:
    main()
finally:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_day(engine: Engine, table: Table, database_url: str, tmp_path: Path) -> None:
    peaks = []
    for rows in (5_000, 30_000):  # of 5 kB
        fill(engine, table, today(engine), rows, first=sum(peaks))
        with engine.begin() as connection:
            connection.execute(
                text(f"UPDATE {table.name} SET raw = CAST(repeat('x', 5000) AS bytea) WHERE raw IS NULL")
            )
        place = {"EXPORT_URL": (tmp_path / str(rows)).as_uri(), "PYTHONPATH": str(ROOT)}
        environment = {**os.environ, "DATABASE_URL": database_url, **place}
        done = subprocess.run([sys.executable, "-c", PEAK], env=environment, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 40_000, peaks  # kB; it had 150,000 kB more of rows


def test_a_place_that_is_away_does_not_end_the_program(
    engine: Engine, table: Table, tmp_path: Path, start: Callable[..., Program]
) -> None:
    fill(engine, table, today(engine), 10)
    (tmp_path / "exported").write_text("a file where the folder should be")
    url = (tmp_path / "exported").as_uri()
    program = start(EXPORT_URL=url, EXPORT_INTERVAL_SECONDS="0.1")
    eventually(lambda: program.log.read_text().count('"day_failed"') > 2)
    (tmp_path / "exported").unlink()
    eventually(lambda: manifest.verified(url, "kinds", today(engine)))
    assert program.stop() == 0
    lines = [json.loads(line) for line in program.log.read_text().splitlines()]
    assert [line["rows"] for line in lines if line["event"] == "day_exported"] == [10]
    assert APP_PASSWORD not in program.log.read_text()


def test_make_up_runs_it_where_a_place_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)

    def programs(redis_url: str | None, **settings: str) -> list[str]:
        ports = dict.fromkeys(METERED, 1)
        made = services(UpSettings(**settings), "postgresql://nobody@nowhere/none", redis_url, ports, "a:b", 6)  # type: ignore[arg-type]
        return [program.name for program in made]

    everything = ["handler", "worker", "rescue", "webhooks", "flower"]
    assert programs("redis://nowhere") == everything
    assert programs("redis://nowhere", export_url="file:///srv") == [*everything[:-1], "export", "flower"]
    assert programs(None, export_url="s3://bucket/folder") == ["handler", "export"]


def test_its_metrics_say_how_it_fares(
    start: Callable[..., Program], table: Table, engine: Engine, tmp_path: Path
) -> None:
    """The folder is a file for a while, as a place that refuses everything."""
    fill(engine, table, today(engine) - DAY, 7)
    port, place = free_port(), tmp_path / "place"
    place.write_text("in the way")

    def told(name: str) -> float:
        try:
            page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        except httpx.TransportError:
            return 0
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(f"millrace_{name}"))

    settings = {"EXPORT_URL": f"{place.as_uri()}/exported", "EXPORT_INTERVAL_SECONDS": "0.2"}
    start(**settings, METRICS=f"127.0.0.1:{port}")
    eventually(lambda: told('export_failures_total{kind="day_failed"}') > 0)
    begun = told("export_last_success_timestamp_seconds")
    eventually(lambda: told("export_days_waiting") > 0)
    place.unlink()
    eventually(lambda: told("export_rows_total") == 7)
    eventually(lambda: told("export_last_success_timestamp_seconds") > begun)
    assert told("export_days_waiting") == 0


class S3:
    """A server that can kill a program as soon as it has done so many of its changes, before it answers the last."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self.victim: Program | None = None
        self.changes_left = 0
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._moto(environ, start_response)
        if self.victim is not None and environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            self.changes_left -= 1
            if self.changes_left == 0:
                os.kill(self.victim.pid, signal.SIGKILL)
        return answer

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    secrets = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {"AWS_ENDPOINT_URL": s3.url, **secrets}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/below"
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def keys() -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return [entry["Key"] for entry in listed]


LARGE = """
    UPDATE {table} SET raw = (
        SELECT string_agg(sha256(CAST(position || '-' || i AS bytea)), '') FROM generate_series(1, 25000) AS i
    )
"""
"""24 MB that no compression makes smaller: two blocks, and an upload in parts."""


def test_a_bucket_gets_the_same_files(engine: Engine, table: Table, bucket: str, tmp_path: Path) -> None:
    day = today(engine) - DAY
    fill(engine, table, day, 30)
    with engine.begin() as connection:
        connection.execute(text(LARGE.format(table=table.name)))
    assert names(export(engine, bucket)) == ["day_exported"]
    assert keys() == [f"below/model=kinds/day={day}/{name}" for name in ("_manifest.json", "predictions.parquet")]
    assert manifest.days(bucket, "kinds") == [day]
    made = manifest.verified(bucket, "kinds", day)
    assert made
    assert made.rows == 30
    for key in keys():
        file = tmp_path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        boto3.client("s3").download_file(BUCKET, key, str(file))
    assert exported(tmp_path / "below") == stored(engine, table)
    assert export(engine, bucket) == []
    fill(engine, table, day, 5, first=100)
    assert [outcome.rows for outcome in export(engine, bucket)] == [35]


@pytest.mark.parametrize("changes", [1, 2, 3], ids=["manifest deleted", "file replaced", "manifest written"])
def test_killed_between_two_steps_it_leaves_no_manifest_of_another_file(
    engine: Engine, table: Table, s3: S3, bucket: str, start: Callable[..., Program], changes: int
) -> None:
    day = today(engine) - DAY
    fill(engine, table, day, 10)
    export(engine, bucket)
    fill(engine, table, day, 10, first=100)
    s3.changes_left = changes
    s3.victim = start(EXPORT_URL=bucket)
    assert s3.victim.process.wait(30) == -signal.SIGKILL
    s3.victim = None
    made = manifest.read(bucket, "kinds", day)
    assert made == manifest.verified(bucket, "kinds", day)
    assert (made is not None) == (changes == 3)
    assert names(export(engine, bucket)) == ([] if made else ["day_exported"])
    whole = manifest.verified(bucket, "kinds", day)
    assert whole
    assert whole.rows == 20


def test_an_upload_that_is_interrupted_leaves_nothing(engine: Engine, table: Table, bucket: str) -> None:
    fill(engine, table, today(engine), 30)
    with engine.begin() as connection:
        connection.execute(text(LARGE.format(table=table.name)))

    def interrupt(_: str, __: date, rows: int, of: int) -> None:
        if rows == of:
            assert len(uploads()) == 1
            raise Interrupted

    exporter = Exporter(engine, bucket, interrupt)
    with pytest.raises(Interrupted):
        list(exporter.round({"kinds": table.name}))
    assert (keys(), uploads()) == ([], [])
    assert names(export(engine, bucket)) == ["day_exported"]


def uploads() -> list[object]:
    found: list[object] = boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return found


def test_the_command_exports_once_and_tells_people_and_programs(
    engine: Engine, table: Table, database_url: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATIONS_DATABASE_URL", database_url)
    monkeypatch.setenv("EXPORT_URL", url)
    make_model(engine, "empty")
    day = today(engine)
    fill(engine, table, day, 1234)
    fill(engine, table, day - DAY, 1)
    run = CliRunner().invoke
    done = run(command, ["--model", "kinds", "--day", str(day)])
    assert (done.exit_code, done.stdout) == (0, "1 file written, 1,234 rows\n")
    assert re.fullmatch(rf"kinds {day}: 1,234 rows in \d+\.\d s\n", done.stderr)
    done = run(command, ["--json"])
    first, last = map(json.loads, done.stdout.splitlines())
    assert first.items() >= {"event": "day_exported", "model": "kinds", "day": str(day - DAY), "rows": 1}.items()
    assert last == {"event": "export_finished", "files": 1, "rows": 1, "failed": 0}
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {table.name} WHERE position = 7"))
    done = run(command)
    assert (done.exit_code, done.stdout) == (0, "0 files written, 0 rows; 1 kept\n")
    assert "the table has fewer rows of this day than the file, which keeps them" in done.stderr
    assert run(command, ["--model", "none"]).exit_code == 2
    assert run(command, ["s3://key:secret@bucket/"]).exit_code == 2
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE empty_rows_of"))
    assert run(command).exit_code == 1
