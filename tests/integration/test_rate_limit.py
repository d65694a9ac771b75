"""A client that asks more often than RATE_LIMIT allows is told when to come back; nobody else notices."""

import time
from pathlib import Path

import httpx

from store import keys
from store.engine import connect
from tests.running import REPORT, eventually, handler


def test_a_client_over_its_limit_is_told_when_to_come_back(database_url: str, redis_url: str, tmp_path: Path) -> None:
    engine = connect(database_url)
    with engine.begin() as connection:
        busy, busy_too, calm = (keys.create(connection, client) for client in ("busy", "busy", "calm"))
    engine.dispose()
    with handler(database_url, redis_url, tmp_path, AUTH="required", RATE_LIMIT="30/hour") as alone:

        def ask(key: str) -> httpx.Response:
            return alone.client.get("/tasks", headers={"Authorization": f"Bearer {key}"})

        assert [ask(busy).status_code for _ in range(29)] == [200] * 29
        assert ask(busy_too).status_code == 200, "the limit is the client's, not the key's"
        refused = ask(busy)
        assert refused.status_code == ask(busy_too).status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:millrace:problem:too-many-requests"
        wait = int(refused.headers["retry-after"])
        assert 1 <= wait <= 120
        assert refused.headers["ratelimit-policy"] == '"client";q=30;w=3600'
        assert refused.headers["ratelimit"] == f'"client";r=0;t={wait}'
        assert ask(calm).status_code == 200
        assert all(alone.client.get("/health/live").status_code == 200 for _ in range(40))
        document = alone.client.get("/openapi.json").json()
        assert "Retry-After" in document["paths"]["/submit"]["post"]["responses"]["429"]["headers"]


def test_a_client_that_waits_as_told_is_served_again(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with handler(database_url, redis_url, tmp_path, RATE_LIMIT="6/minute") as alone:
        refused = eventually(lambda: (answer := alone.client.get("/tasks")).status_code == 429 and answer, every=0)
        time.sleep(int(refused.headers["retry-after"]))
        assert alone.client.get("/tasks").status_code == 200


def test_without_keys_the_limit_is_each_addresss(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with handler(database_url, redis_url, tmp_path, RATE_LIMIT="2/hour") as alone:

        def submitted_from(address: str, *, claimed: str = "") -> int:
            claim = {"X-Forwarded-For": claimed} if claimed else {}
            with httpx.Client(base_url=alone.url, transport=httpx.HTTPTransport(local_address=address)) as client:
                return client.post("/submit", json=[REPORT], headers=claim).status_code

        assert [submitted_from("127.0.0.1") for _ in range(3)] == [202, 202, 429]
        claimed = [submitted_from("127.0.0.2", claimed=f"10.0.0.{number}") for number in range(3)]
        assert claimed == [202, 202, 429], "only of a proxy in FORWARDED_ALLOW_IPS it is believed"


def test_without_a_limit_nobody_is_counted(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with handler(database_url, redis_url, tmp_path) as alone:
        assert {alone.client.get("/tasks").status_code for _ in range(300)} == {200}
        assert '"429"' not in alone.client.get("/openapi.json").text
