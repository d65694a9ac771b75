"""What pages of other sites can do with a handler that asks for no key, in the browser of somebody who can reach it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from handler.auth.same_origin import KNOWN, SameOrigin
from handler.settings import HandlerSettings
from models.image_classifier.examples import EIGHT
from tests.running import REPORT, Platform, handler

REBOUND = [
    *("evil.example.com", "evil.example.com:8081", "127.0.0.1.evil.example.com", "localhost.evil.example.com"),
    *(
        "evillocalhost",
        "localhost@evil.example.com",
        "handler",
        "evil.example.com.",
        "example.com",
        "xscores.example.com",
    ),
    *("[::1].evil.example.com", "[evil.example.com]", "127.0.0.1:8081.evil.example.com", "", "a.scores.example.com"),
]
OURS = [
    "localhost",
    "LocalHost:8081",
    "localhost.",
    "a.localhost:1",
    "127.0.0.1",
    "127.8.9.1:80",
    "10.1.2.3:8081",
    "[::1]:8081",
]
NAMED = ["scores.example.com", "Scores.example.com:443", "a.b.internal:80"]


@pytest.fixture(scope="module")
def named(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A second handler of the shared platform, which has names and lets one origin's scripts in."""
    urls = platform.environment
    settings = {"ALLOWED_HOSTS": "scores.example.com, *.internal", "CORS_ORIGINS": "https://app.example.com"}
    with handler(urls["DATABASE_URL"], urls["REDIS_URL"], tmp_path_factory.mktemp("named"), **settings) as named:
        yield named


def submitted(platform: Platform) -> int:
    return len(platform.client.get("/tasks", params={"limit": 1000}).json()["tasks"])


def asked(client: httpx.Client, host: str) -> list[httpx.Response]:
    """Ask for what is there, what is not, and what belongs to nobody."""
    headers = {"Host": host}
    return [
        client.post("/submit", json=[REPORT], headers=headers),
        client.post("/predict", json={}, headers=headers),
        client.get("/task/01a1fbff-6bc2-77a0-9580-9b6d17fbabd4", headers=headers),
        client.get("/tasks", headers=headers),
        client.get("/v2/models/report_scorer", headers=headers),
        client.get("/docs", headers=headers),
        client.get("/nowhere", headers=headers),
        client.options("/submit", headers={**headers, "Origin": "https://app.example.com"}),
    ]


@pytest.mark.parametrize("host", REBOUND)
def test_a_page_whose_name_was_made_to_lead_here_reads_and_submits_nothing(platform: Platform, host: str) -> None:
    before = submitted(platform)
    for answer in asked(platform.client, host) * 2:  # a second time, as what is ours is remembered
        assert answer.status_code == 421, answer.url
        assert "ALLOWED_HOSTS" in answer.text
        assert "Host header" in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        kind = "application/json" if "/v2" in str(answer.url) else "application/problem+json"
        assert answer.headers["content-type"] == kind
    assert submitted(platform) == before


@pytest.mark.parametrize("host", OURS)
def test_localhost_and_addresses_are_ours(platform: Platform, host: str) -> None:
    assert [answer.status_code for answer in asked(platform.client, host)] == [202, 422, 404, 200, 200, 200, 404, 405]


def test_so_are_the_names_in_the_setting_and_no_others(named: Platform) -> None:
    for host in NAMED:
        assert 421 not in {answer.status_code for answer in asked(named.client, host)}, host
    for host in ("internal", "evilinternal", "xscores.example.com", "a.scores.example.com", "evil.example.com"):
        assert {answer.status_code for answer in asked(named.client, host)} == {421}, host


def test_many_hosts_are_served_and_not_remembered(named: Platform) -> None:
    for number in range(KNOWN + 10):
        assert named.client.get("/heartbeat", headers={"Host": f"{number}.internal"}).status_code == 200
    assert named.client.get("/heartbeat", headers={"Host": "evil.example.com"}).status_code == 421


def test_where_a_key_is_needed_every_host_is_served(closed: Platform) -> None:
    for host in ("evil.example.com", "handler.millrace.svc"):
        assert closed.client.get("/heartbeat", headers={"Host": host}).status_code == 200
        assert closed.client.get("/tasks", headers={"Host": host}).status_code == 401


@pytest.mark.parametrize(
    "hosts", ["*", "https://a.example.com", "a.example.com:8081", "a b", "*.", "Scores.example.com/"]
)
def test_only_names_are_names(hosts: str) -> None:
    with pytest.raises(ValidationError):
        HandlerSettings(allowed_hosts=hosts)


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://localhost:3000", "http://127.0.0.1"])
def test_a_page_of_another_site_posts_nothing(platform: Platform, origin: str) -> None:
    """Forms and empty bodies, which browsers send across sites unasked; JSON would be asked about."""
    headers, before = {"Origin": origin}, submitted(platform)
    task = platform.submit(REPORT)
    for answer in (
        platform.client.post("/inference", files={"image": EIGHT.encode()}, headers=headers),
        platform.client.post("/submit", json=[REPORT], headers=headers),
        platform.client.post(f"/task/{task}/cancel", headers=headers),
        platform.client.post("/v2/repository/index", headers=headers),
    ):
        assert answer.status_code == 403, answer.url
        assert "CORS_ORIGINS" in answer.text
    assert submitted(platform) == before + 1
    assert platform.finished(task)["status"] == "SUCCESS"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_browsers_send_across_sites_unasked_is_no_json(platform: Platform, kind: str) -> None:
    for path in ("/submit", "/predict", "/prediction", "/translation", "/v2/models/report_scorer/infer"):
        headers = {"Content-Type": kind} if kind else {}
        answer = platform.client.post(path, content=b"[{}]", headers=headers)
        assert answer.status_code == (422 if path.startswith("/v2") and not kind else 415), path
        assert "application/json" in answer.text or answer.status_code == 422


def test_pages_of_the_handler_itself_and_of_named_origins_may_post(platform: Platform, named: Platform) -> None:
    for client, origin in (
        (platform.client, platform.url),
        (named.client, named.url),
        (named.client, "https://app.example.com"),
    ):
        assert client.post("/submit", json=[REPORT], headers={"Origin": origin}).status_code == 202
    headers = {"Host": "scores.example.com", "Origin": "https://scores.example.com"}
    assert named.client.post("/submit", json=[REPORT], headers=headers).status_code == 202
    assert named.client.post("/submit", json=[REPORT], headers={"Origin": "https://b.example.com"}).status_code == 403


def test_long_names_are_served_and_not_remembered() -> None:
    """A thousand of 60 kB each would be 60 MB for as long as the handler lives."""
    site: Any = SameOrigin([], [])
    for number in range(100):
        site.check("GET", {b"host": b"%d" % number + b"a" * 60_000 + b".localhost"})
    assert sum(map(len, site.known)) == 0
    site.check("GET", {b"host": b"a.localhost"})
    assert site.known == {b"a.localhost"}
