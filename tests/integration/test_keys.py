"""Who may use the API: a platform that requires keys, asked over HTTP."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis
from pydantic import ValidationError
from sqlalchemy import Engine, make_url, text

from handler.auth import authentication
from handler.settings import HandlerSettings
from store import keys
from tests.conftest import NewClient, Servers
from tests.integration.test_handler_alone import closed as unreachable
from tests.integration.test_handler_alone import handler
from tests.running import REPORT, Platform, eventually

OPEN = {"/heartbeat", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
NOBODYS = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"


def key_of(client: httpx.Client) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def test_who_says_nothing_of_keys_requires_them(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with handler(database_url, redis_url, tmp_path, AUTH="") as alone:
        assert alone.client.get("/tasks").status_code == alone.client.post("/submit", json=[REPORT]).status_code == 401
    with pytest.raises(ValidationError):
        HandlerSettings(auth="false")  # type: ignore[arg-type]


def test_every_operation_but_those_of_health_asks_for_a_key(closed: Platform) -> None:
    document = closed.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            places = {"task_id": NOBODYS, "job_id": NOBODYS, "part": 0, "model": "report_scorer", "version": "1.0.0"}
            answer = closed.client.request(verb, path.format(**places))
            if path in OPEN:
                assert answer.status_code == 200
                assert operation["security"] == []
            else:
                assert answer.status_code == 401, (verb, path)
                assert document["security"] == [{"key": []}]
                assert "security" not in operation
                assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]
    assert closed.client.post("/models/nobody/submit").status_code == 401
    assert closed.client.get("/docs").status_code == 200


def test_without_keys_nothing_is_said_of_them(platform: Platform) -> None:
    document = platform.client.get("/openapi.json").text
    assert "securitySchemes" not in document
    assert '"401"' not in document
    assert "auth_off" in (platform.logs / "handler.log").read_text()


@pytest.mark.parametrize("header", [None, "", "Basic bWlsbHJhY2U6", "mr_0123456789abcdef_0", "Token mr_0_0"])
def test_a_request_without_a_key_is_told_to_send_one(closed: Platform, header: str | None) -> None:
    answer = closed.client.get("/tasks", headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="millrace"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:millrace:problem:key-missing"
    assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda key: "x",
        lambda key: key[:-1],
        lambda key: key + "0",
        lambda key: key.upper(),
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: f"mr_{'0' * 16}_{key[-64:]}",
        lambda key: f"{key} {key}",
        lambda key: key.replace("_", "%"),
    ],
)
def test_a_key_that_is_wrong_in_one_place_is_no_key(
    closed: Platform, new_client: NewClient, wrong: Callable[[str], str]
) -> None:
    key = key_of(new_client())
    answer = closed.client.get("/tasks", headers={"Authorization": f"Bearer {wrong(key)}"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="millrace", error="invalid_token"'
    assert answer.json()["type"] == "urn:millrace:problem:key-refused"
    assert closed.client.get("/tasks", headers={"Authorization": f"bearer {key}"}).status_code == 200


def test_a_new_key_works_at_once_and_a_revoked_one_soon_no_more(new_client: NewClient, closed_engine: Engine) -> None:
    for _ in range(5):
        client = new_client()
        assert client.get("/tasks").status_code == 200
    with closed_engine.begin() as connection:
        assert keys.revoke(connection, keys.id_in(key_of(client)) or "")
    eventually(lambda: client.get("/tasks").status_code == 401)


async def test_many_wrong_keys_cost_few_looks_at_the_database(
    closed: Platform, new_client: NewClient, closed_engine: Engine
) -> None:
    mine = new_client()
    looks = text("SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'api_keys'")

    def looked() -> int:
        time.sleep(1.1)  # the statistics are at most a second old
        with closed_engine.connect() as connection:
            return int(connection.execute(looks).scalar_one())

    before, began = looked(), time.monotonic()
    async with httpx.AsyncClient(base_url=closed.url, timeout=30) as client:
        for start in range(0, 300, 100):
            guesses = [f"mr_{number:016x}_{'0' * 64}" for number in range(start, start + 100)]
            asked = (client.get("/tasks", headers={"Authorization": f"Bearer {guess}"}) for guess in guesses)
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {401}
    assert mine.get("/tasks").status_code == 200
    seconds = time.monotonic() - began
    assert looked() - before < min(10 + 2 * seconds / authentication.MIN_INTERVAL, 300)  # as many as there were guesses


def test_the_use_of_a_key_is_noted(new_client: NewClient, closed_engine: Engine) -> None:
    used, unused = new_client(), new_client()
    used.get("/tasks")

    def noted() -> dict[str, object]:
        with closed_engine.connect() as connection:
            return {row.id: row.last_used_at for row in keys.page(connection)}

    eventually(lambda: noted()[keys.id_in(key_of(used)) or ""])
    assert noted()[keys.id_in(key_of(unused)) or ""] is None


def test_no_secret_is_written_to_a_log_or_to_redis(
    closed: Platform, new_client: NewClient, closed_engine: Engine, servers: Servers
) -> None:
    client = new_client()
    predicted = client.post("/predict", json=REPORT)
    assert predicted.status_code == 200
    client.post("/submit", json=[{}])
    with closed_engine.begin() as connection:  # so that it fails where errors are logged with all they have
        connection.execute(text("ALTER TABLE tasks ALTER started_at TYPE text"))
    assert client.get("/tasks").status_code == 500
    with closed_engine.begin() as connection:
        connection.execute(text("ALTER TABLE tasks ALTER started_at TYPE timestamptz USING started_at::timestamptz"))
    httpx.get(f"{closed.url}/tasks", headers={"Authorization": f"Bearer {key_of(client)}0"})

    def logged() -> str:
        return "".join(file.read_text() for file in closed.logs.iterdir())

    eventually(lambda: predicted.json()["task_id"] in logged())  # the worker logs a moment after the answer
    assert "request_failed" in logged()
    with redis.Redis.from_url(servers.redis_url.removesuffix("/0") + "/2") as client_of_redis:
        kept = b"".join(client_of_redis.dump(key) or b"" for key in client_of_redis.scan_iter())
    secrets = [
        key_of(client)[-64:],
        make_url(closed.database_url).password,
        redis.connection.parse_url(servers.redis_url)["password"],
    ]
    assert all(len(str(secret)) > 8 for secret in secrets)
    for secret in secrets:
        assert str(secret) not in logged()
        assert str(secret).encode() not in kept


def test_without_postgres_no_key_is_good(redis_url: str, tmp_path: Path) -> None:
    with handler(unreachable("postgresql"), redis_url, tmp_path, AUTH="required") as alone:
        assert alone.client.get("/tasks").status_code == 401
        held = alone.client.get("/tasks", headers={"Authorization": f"Bearer mr_{'0' * 16}_{'0' * 64}"})
        assert held.status_code == 503
        assert held.headers["retry-after"]
        assert alone.client.get("/health/live").status_code == 200
