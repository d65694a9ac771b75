"""The client against a real platform: every public call, what it raises, and the shapes that it takes and gives."""

import asyncio
import importlib.metadata
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pandas
import polars
import pyarrow as pa
import pytest
import standardwebhooks
from millrace_client import (
    AsyncClient,
    Client,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    InvalidSignature,
    MillraceError,
    NotFound,
    ServerUnavailable,
    Task,
    TaskFailed,
    Unauthorized,
    verify_webhook,
)
from sqlalchemy import Engine, text

from handler import VERSION
from store import keys
from store.engine import connect
from tests.running import REPORT, Platform

ROWS = [{**REPORT, "popularity": number % 6, "report_id": f"r{number}"} for number in range(7)]


@pytest.fixture
def client(platform: Platform) -> Any:
    with Client(platform.url) as client:
        yield client


@pytest.fixture
def expected(platform: Platform) -> list[Any]:
    scores: Any = platform.finished(platform.submit(*ROWS))["score"]
    return list(scores)


def test_a_task_is_submitted_waited_for_and_read(client: Client, expected: list[Any]) -> None:
    task = client.submit(ROWS, model="report_scorer", priority="high")
    state = task.wait()
    assert (state.status, state.ended, task.status) == ("SUCCESS", True, "SUCCESS")
    assert state.outputs == {"score": expected, "report_id": [row["report_id"] for row in ROWS]}
    assert list(state.rows())[2] == {"score": expected[2], "report_id": "r2"}
    assert isinstance(state.finished_at, datetime)
    assert client.task(task.task_id) == state
    listed = list(client.tasks(limit=2, model="report_scorer", status="SUCCESS"))
    assert len(listed) == 2
    everything = [one["task_id"] for one in client.tasks(limit=1500)]
    assert task.task_id in everything


async def test_asyncio_has_the_same(platform: Platform, expected: list[Any]) -> None:
    async with AsyncClient(platform.url) as client:
        task = await client.submit(ROWS)
        assert (await task.wait()).outputs["score"] == expected
        assert (await task.read()).status == "SUCCESS"
        with pytest.raises(Conflict):
            await task.cancel()
        with pytest.raises(Conflict):
            await task.replay()
        scored = await asyncio.gather(*(client.score(ROWS) for _ in range(5)))
        assert [[row["score"] for row in rows] for rows in scored] == [expected] * 5
        assert {"report_scorer", "translator"} <= {model.name for model in await client.models()}
        assert [one async for one in client.tasks(limit=2)]
        with pytest.raises(NotFound):
            await client.job(str(uuid4()))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (list, list),
        (pa.Table.from_pylist, pa.Table),
        (pandas.DataFrame, pandas.DataFrame),
        (lambda rows: pandas.DataFrame(rows, index=range(50, 57)).astype({"abuse_type": "category"}), pandas.DataFrame),
        (polars.DataFrame, polars.DataFrame),
        (lambda rows: duckdb.from_arrow(pa.Table.from_pylist(rows)), pa.Table),
    ],
    ids=["mappings", "Arrow", "pandas", "pandas with categories and an index", "polars", "DuckDB"],
)
def test_rows_come_back_in_their_own_shape_with_the_outputs_beside(
    client: Client, expected: list[Any], make: Any, kind: type
) -> None:
    given = make(ROWS)
    back = client.score(given)
    assert isinstance(back, kind)
    if kind is list:
        assert back == [{**row, "score": score} for row, score in zip(ROWS, expected, strict=True)]
        return
    scores = back["score"].to_pylist() if kind is pa.Table else list(back["score"])
    assert scores == expected
    if kind is pandas.DataFrame:
        assert list(back.index) == list(given.index)
        assert list(back.columns) == [*ROWS[0], "score"]


def test_a_relation_is_asked_once(client: Client) -> None:
    names = ", ".join(name for name in ROWS[0] if name != "report_id")
    table = duckdb.from_arrow(pa.Table.from_pylist(ROWS * 50))
    asked = f"SELECT {names}, random()::text AS report_id FROM given ORDER BY random()"
    back = client.score(table.query("given", asked))
    assert len(table) == len(back) == 350
    again = client.score(back.drop_columns(["score"]))
    assert again["score"].to_pylist() == back["score"].to_pylist()


def test_more_rows_than_a_task_takes_are_several_tasks(client: Client) -> None:
    many = pandas.DataFrame([{**REPORT, "lifetime_matches_created": number} for number in range(23_456)])
    back = client.score(many)
    assert list(back["lifetime_matches_created"]) == list(range(23_456))
    assert back["score"].notna().all()


def test_errors_name_the_fields_and_have_classes_of_their_own(client: Client, closed: Platform) -> None:
    with pytest.raises(InvalidInput) as wrong:
        client.submit([REPORT, {**REPORT, "popularity": 9}])
    assert (wrong.value.status, wrong.value.kind) == (422, "invalid-input")
    assert wrong.value.errors[0]["pointer"] == "#/1/popularity"
    assert "#/1/popularity: Must be at most 5, not 9" in str(wrong.value)
    for call in (lambda: client.task(str(uuid4())), lambda: client.model("nobody"), lambda: client.job(str(uuid4()))):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(TypeError, match="list of mappings"):
        client.submit(REPORT)
    with pytest.raises(ValueError, match="no rows"):
        client.submit([])
    with Client(closed.url) as nobody, pytest.raises(Unauthorized) as refused:
        nobody.submit(ROWS)
    assert refused.value.kind == "key-missing"
    assert issubclass(Unauthorized, MillraceError)


def test_a_key_is_sent_and_never_shown(closed: Platform, closed_engine: Engine) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, f"client-{time.monotonic_ns()}", keys.Role.SUBMIT)
    with Client(closed.url, key=key) as client:
        task = client.submit(ROWS)
        assert task.wait().status == "SUCCESS"
        assert key not in repr(client) + repr(task) + repr(client.__dict__)


def test_a_task_that_fails_or_is_cancelled_raises_with_its_reason(platform: Platform, client: Client) -> None:
    task = client.submit(ROWS, expires=0.001)
    with pytest.raises(TaskFailed) as expired:
        task.wait()
    assert (expired.value.status, expired.value.task_id) == ("EXPIRED", task.task_id)
    engine = connect(platform.database_url)
    try:
        with engine.begin() as connection:  # one that nobody scores
            waiting = str(uuid4())
            insert = (
                "INSERT INTO tasks (id, model, n_inputs, published_at) VALUES (:id, 'nobody', 1, now() + interval '1h')"
            )
            connection.execute(text(insert), {"id": waiting})
        task = Task(client, waiting)
        with pytest.raises(DeadlineExceeded, match="it goes on"):
            task.wait(timeout=1)
        assert task.cancel().status == "REVOKED"
        with pytest.raises(TaskFailed, match="cancelled by"):
            task.wait()
        with pytest.raises(Conflict):
            task.replay()
    finally:
        engine.dispose()


def test_a_client_waits_for_a_server_that_is_not_there_yet(database_url: str, redis_url: str, tmp_path: Path) -> None:
    platform = Platform(database_url, redis_url, tmp_path)
    with Client(platform.url, timeout=1) as client, pytest.raises(ServerUnavailable, match="gave up after 1 s"):
        client.models()
    with ThreadPoolExecutor(1) as pool, Client(platform.url, timeout=60) as client:
        first = pool.submit(client.submit, ROWS, idempotency_key="once")
        time.sleep(0.5)
        handler = platform.start_handler()
        try:
            task_id = first.result().task_id
            assert client.submit(ROWS, idempotency_key="once").task_id == task_id
            handler.stop(signal.SIGKILL)
            second = pool.submit(client.submit, ROWS, idempotency_key="once")
            time.sleep(0.5)
            handler = platform.start_handler()
            assert second.result().task_id == task_id
        finally:
            handler.stop(signal.SIGKILL)
            platform.client.close()
    engine = connect(database_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM tasks")) == 1
    engine.dispose()


def test_a_wrong_address_or_key_is_told_at_once_and_not_repeated() -> None:
    for url, key in (
        ("localhost:8081", None),
        ("http://127.0.0.1:1", "mr_SECRET\x00x"),
        ("http://127.0.0.1:1", "mr_ä"),
    ):
        with pytest.raises(MillraceError) as told:
            Client(url, key=key)
        assert "SECRET" not in str(told.value)


def test_webhooks_are_verified_as_the_reference_signs_them() -> None:
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    reference = standardwebhooks.Webhook(secret)
    body, now = '{"type":"task.succeeded","n":1.0}', datetime.now(UTC)
    headers = {
        "Webhook-Id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": "v1a,xyz " + reference.sign("msg_1", now, body),
    }
    assert verify_webhook(body.encode(), headers, secret) == {"type": "task.succeeded", "n": 1.0}
    late = {**headers, "webhook-timestamp": str(int(now.timestamp()) - 301)}
    for wrong_body, wrong_headers, wrong_secret in (
        (body + " ", headers, secret),
        (body, late, secret),
        (body, headers, "whsec_" + "A" * 32),
        (body, headers, ""),
        (body, headers, "whsec_!!!"),
        (body, {**headers, "webhook-signature": "v2," + headers["webhook-signature"].rpartition(",")[2]}, secret),
        (body, {}, secret),
        (body, {**headers, "webhook-timestamp": "x"}, secret),
    ):
        with pytest.raises(InvalidSignature):
            verify_webhook(wrong_body.encode(), wrong_headers, wrong_secret)


def test_the_package_is_light() -> None:
    """Importing it brings in neither the HTTP library nor Arrow; it needs two packages."""
    probe = "import sys, millrace_client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    imported = subprocess.check_output([sys.executable, "-c", probe], text=True).split()
    assert "millrace_client" in imported
    assert not {"httpx2", "click", "pyarrow", "pandas", "fsspec", "numpy"} & set(imported)
    needed = [one for one in importlib.metadata.requires("millrace-client") or () if "extra ==" not in one]
    assert sorted(one.partition(">")[0].partition("<")[0] for one in needed) == ["click", "httpx2"]
    assert importlib.metadata.version("millrace-client") == VERSION
    import millrace_client

    assert (Path(millrace_client.__file__).parent / "py.typed").exists()
    assert {name: getattr(millrace_client, name) for name in millrace_client.__all__}
