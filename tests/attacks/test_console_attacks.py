"""What can be tried against the console: forms of other sites, frames, stored texts, others' tasks, forged cookies."""

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from console.page import own_path
from console.session import LASTS
from store import keys
from store.engine import connect
from store.keys import Role
from tests.browsing import Browser, Page
from tests.running import REPORT, Platform, eventually, handler

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></textarea></option></style><svg/onload=alert(1)>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "\u202egnirts desrever\u2066",
    "␀ \x01\x02\x7f\x9b31m",
    "one word of " + "x" * 74_000,
)
NOBODYS = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"

SignIn = Callable[..., Browser]


@pytest.fixture
def sign_in(closed: Platform, closed_engine: Engine) -> Iterator[SignIn]:
    """Return browsers of people that have signed in, each with a key of its own."""
    opened: list[Browser] = []

    def signed_in(role: Role, client: str = "console-attacks") -> Browser:
        with closed_engine.begin() as connection:
            key = keys.create(connection, client, role)
        opened.append(Browser(closed.url).sign_in(key))
        return opened[-1]

    yield signed_in
    for browser in opened:
        browser.client.close()


def forms(task_id: str) -> list[str]:
    """Every address to which a page of the console posts."""
    return [
        *(f"/console/task/{task_id}/cancel", f"/console/task/{task_id}/replay"),
        *(f"/console/models/report_scorer/{change}" for change in ("promote", "rollback")),
        *("/console/try/report_scorer", "/console/try/report_scorer/file", f"/console/job/{NOBODYS}/cancel"),
        *(f"/console/triage/report_scorer/{form}" for form in ("next", "decide", "undo", "skip", "shown", "reviewer")),
        *("/console/login", "/console/logout"),
    ]


FOREIGN: list[dict[str, str]] = [
    {},
    {"Origin": "null"},
    {"Origin": "https://evil.example.com"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example.com"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_changes_nothing(sign_in: SignIn, closed: Platform, headers: dict[str, str]) -> None:
    browser = sign_in(Role.ADMIN)
    sent = {name: value.replace("{own}", closed.url) for name, value in headers.items()}
    for path in forms(NOBODYS):
        answer = browser.client.post(path, data={name: str(value) for name, value in REPORT.items()}, headers=sent)
        assert answer.status_code == 403, path
        assert "set-cookie" not in answer.headers
        assert "Change from another site" in Page(answer.text).text


def test_a_form_of_another_site_changes_nothing_with_auth_off_either(platform: Platform) -> None:
    for headers in FOREIGN:
        sent = {name: value.replace("{own}", platform.url) for name, value in headers.items()}
        for path in forms(NOBODYS):
            assert platform.client.post(path, headers=sent).status_code == 403, (path, headers)


def test_no_page_can_be_framed_sniffed_or_kept(sign_in: SignIn) -> None:
    browser = sign_in(Role.ADMIN)
    for path in ("/", "/console/tasks", "/console/login", "/console/task/0", "/console/live/now"):
        headers = browser.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_without_a_session_every_page_asks_who_it_is(closed: Platform, sign_in: SignIn) -> None:
    with Browser(closed.url) as nobody:
        for path in ("/", "/console/tasks?status=FAILURE", f"/console/task/{NOBODYS}", "/console/keys"):
            answer = nobody.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/console/login?next=")
            assert answer.content == b""
        for path in forms(NOBODYS)[:-2]:
            assert nobody.post(path).headers["location"] == "/console/login?next=/", path
        assert nobody.get("/console/live/now", headers={"Accept": "text/event-stream"}).status_code == 204
        wrong = nobody.post("/console/login", {"key": "mr_0011223344556677_" + "0" * 64})
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers


@pytest.mark.parametrize("role", Role)
def test_a_role_sees_and_changes_what_its_key_may_and_nothing_else(sign_in: SignIn, role: Role) -> None:
    browser = sign_in(role)
    allowed = {
        f"/console/task/{NOBODYS}/cancel": {Role.SUBMIT, Role.OPERATE, Role.ADMIN},
        f"/console/task/{NOBODYS}/replay": {Role.SUBMIT, Role.OPERATE, Role.ADMIN},
        "/console/models/report_scorer/rollback": {Role.OPERATE, Role.ADMIN},
        "/console/models/report_scorer/promote": {Role.OPERATE, Role.ADMIN},
        "/console/try/report_scorer": {Role.SUBMIT, Role.ADMIN},
        "/console/try/report_scorer/file": {Role.SUBMIT, Role.ADMIN},
    }
    for path, roles in allowed.items():
        answer = browser.post(path, {"version": "no-such-version"})
        assert (answer.status_code == 403) == (role not in roles), (path, answer.text)
    assert (browser.get("/console/keys").status_code == 403) == (role not in {Role.OPERATE, Role.ADMIN})
    assert (browser.get("/console/try/report_scorer").status_code == 403) == (role not in {Role.SUBMIT, Role.ADMIN})
    shown = browser.page("/")
    assert ("/console/keys" in shown.of("a", "href")) == (role in {Role.OPERATE, Role.ADMIN})


def test_another_clients_task_is_like_one_that_is_not_there(sign_in: SignIn) -> None:
    owner, other = sign_in(Role.SUBMIT, "console-owner"), sign_in(Role.SUBMIT, "console-other")
    done = owner.post("/console/try/report_scorer", {**{n: str(v) for n, v in REPORT.items()}, "report_id": "owners"})
    (task_id,) = set(re.findall(r"/console/task/([0-9a-f-]{36})", done.text))
    assert "owners" in owner.page(f"/console/task/{task_id}").text
    for path in (f"/console/task/{task_id}", f"/console/live/task/{task_id}"):
        answer, missing = other.get(path), other.get(path.replace(task_id, NOBODYS))
        assert answer.status_code == missing.status_code == 404
        assert answer.text.replace(task_id, "") == missing.text.replace(NOBODYS, "")
    assert other.post(f"/console/task/{task_id}/cancel").status_code == 404
    assert "0 tasks" in other.page("/console/tasks?model=report_scorer&key=owners").text
    assert task_id not in other.page("/console/tasks?client=console-owner").html


def test_masked_roles_see_no_keys_and_cannot_look_for_one(sign_in: SignIn) -> None:
    owner, reader = sign_in(Role.SUBMIT, "console-owner"), sign_in(Role.READ)
    done = owner.post("/console/try/report_scorer", {**{n: str(v) for n, v in REPORT.items()}, "report_id": "masked-1"})
    (task_id,) = set(re.findall(r"/console/task/([0-9a-f-]{36})", done.text))
    seen = reader.page(f"/console/task/{task_id}")
    assert "masked-1" not in seen.html
    assert "not shown to the role read" in seen.text
    assert reader.get("/console/tasks?model=report_scorer&key=masked-1").status_code == 403


def test_who_sees_less_gets_no_live_part_that_was_drawn_for_who_sees_more(
    sign_in: SignIn, closed_engine: Engine
) -> None:
    insert = """INSERT INTO tasks (id, model, status, n_inputs, finished_at, error)
        VALUES (:id, 'report_scorer', 'FAILURE', 1, now(), 'refused: quotes-an-input')"""
    with closed_engine.begin() as connection:
        connection.execute(text(insert), {"id": (failed := uuid7())})
    everything, masked, own = sign_in(Role.ADMIN), sign_in(Role.READ), sign_in(Role.SUBMIT)
    eventually(lambda: "quotes-an-input" in everything.get("/console/live/now").text)
    for _ in range(3):
        assert "quotes-an-input" in everything.get("/console/live/now").text
        assert "quotes-an-input" not in masked.get("/console/live/now").text
        assert str(failed) not in own.get("/console/live/now").text
    assert str(failed) in masked.get("/console/live/now").text
    with closed_engine.begin() as connection:
        connection.execute(text("DELETE FROM tasks WHERE id = :id"), {"id": failed})


def test_a_session_ends_with_its_key_and_after_its_time(closed: Platform, closed_engine: Engine) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "console-revoked", Role.ADMIN)
    with Browser(closed.url).sign_in(key) as browser:
        cookie = browser.post("/console/login", {"key": key}).headers["set-cookie"]
        assert f"Max-Age={LASTS}" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert browser.get("/console/tasks").status_code == 200
        with closed_engine.begin() as connection:
            keys.revoke(connection, keys.id_in(key) or "")
        eventually(lambda: browser.get("/console/tasks").status_code == 303, within=30)


def test_an_open_stream_ends_when_the_role_of_its_key_changes(sign_in: SignIn, closed_engine: Engine) -> None:
    browser = sign_in(Role.ADMIN, "console-demoted")
    headers = {"Accept": "text/event-stream"}
    with browser.client.stream("GET", "/console/live/now", headers=headers) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("data: "))
        with closed_engine.begin() as connection:
            connection.execute(text("UPDATE api_keys SET role = 'read' WHERE client = 'console-demoted'"))
        assert "event: signed-out" in list(lines)


def test_who_may_not_submit_is_not_sent_where_that_is_refused(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    engine = connect(database_url)
    with engine.begin() as connection:
        key = keys.create(connection, "console-new", Role.READ)
    engine.dispose()
    with handler(database_url, redis_url, tmp_path, AUTH="required") as alone, Browser(alone.url) as browser:
        page = browser.sign_in(key).page("/")
    assert "Score your first input" in page.text
    assert "/console/try" not in page.of("a", "href")


def test_a_cookie_that_is_not_signed_with_the_key_is_none(sign_in: SignIn, closed: Platform) -> None:
    mine, others = sign_in(Role.READ), sign_in(Role.ADMIN)
    (name, token), (_, theirs) = (next(iter(browser.client.cookies.items())) for browser in (mine, others))
    key_id, moment, signature = token.split(".")
    forged = [
        *("", "..", key_id, f"{key_id}.{moment}", f"{key_id}.{moment}.", f"{key_id}.{moment}.AAAA", "\u00e4"),
        f"{theirs.split('.')[0]}.{moment}.{signature}",
        f"{key_id}.{theirs.split('.')[1]}.{theirs.split('.')[2]}",
        f"{key_id}.zzzzzz.{signature}",
        token + ".",
        token.upper(),
    ]
    for value in forged:
        header = {"Cookie": f"{name}={value}".encode()}
        answer = httpx.get(f"{closed.url}/console/tasks", headers=header)
        assert answer.status_code == 303, value
    assert httpx.get(f"{closed.url}/console/tasks", headers={"Cookie": f"{name}={token}"}).status_code == 200


def test_a_session_that_was_planted_is_replaced_when_somebody_signs_in(
    sign_in: SignIn, closed: Platform, closed_engine: Engine
) -> None:
    attacker = sign_in(Role.SUBMIT, "console-attacker")
    ((name, planted),) = attacker.client.cookies.items()
    with closed_engine.begin() as connection:
        key = keys.create(connection, "console-victim", Role.ADMIN)
    answer = httpx.post(
        f"{closed.url}/console/login", data={"key": key}, headers={"Origin": closed.url, "Cookie": f"{name}={planted}"}
    )
    assert planted not in answer.headers["set-cookie"]
    assert f"{name}={keys.id_in(key)}." in answer.headers["set-cookie"]


def test_neither_a_key_nor_a_cookie_is_in_a_log_or_a_page(closed: Platform, closed_engine: Engine) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "console-logged", Role.ADMIN)
    with Browser(closed.url).sign_in(key) as browser:
        ((_, token),) = browser.client.cookies.items()
        for path in ("/", "/console/tasks", "/console/keys", "/console/task/0", "/console/nowhere"):
            assert token not in browser.get(path).text
            assert key not in browser.get(path).text
    logged = "".join(file.read_text() for file in closed.logs.iterdir())
    assert token.rpartition(".")[2] not in logged
    assert key not in logged


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.example.com", "https://evil.example.com", "/\\evil.example.com", "\t//evil.example.com"),
        *("/console/../..//x", "javascript:alert(1)", "/docs", "console/tasks", "/console/tasks\r\nX: y", ""),
        *("/console", "/consolex/", "//[", "//[x]/"),
    ],
)
def test_signing_in_leads_to_a_page_of_the_console_and_nowhere_else(address: str) -> None:
    assert own_path(address) in ("/", "/console/../..//x")  # which stays on this host
    assert own_path("/console/tasks?status=FAILURE") == "/console/tasks?status=FAILURE"


def test_nobody_without_a_key_has_a_large_form_read(closed: Platform) -> None:
    headers = {"Origin": closed.url, "Content-Type": "application/x-www-form-urlencoded"}
    large = b"key=" + b"%41" * 8_000
    for path in ("/console/login", "/console/login?next=/"):
        assert httpx.post(closed.url + path, content=large, headers=headers).status_code == 413
        assert httpx.post(closed.url + path, content=iter([large]), headers=headers).status_code == 413
        squeezed = {**headers, "Content-Encoding": "gzip"}
        assert httpx.post(closed.url + path, content=gzip.compress(b"key=x"), headers=squeezed).status_code == 415


def test_what_postgresql_cannot_hold_is_refused_in_every_filter(platform: Platform) -> None:
    for name in ("client", "model", "key"):
        answer = platform.client.get("/console/tasks", params={"model": "report_scorer", name: "a\0b"})
        assert answer.status_code == 422, name


def stored(page: Page, *, echoed: bool = False) -> None:
    """Fail where a stored text became a part of the page; what is `echoed` into a field of a form stays as it is."""
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "alert(1)" not in (attributes.get("href") or attributes.get("src") or ""), (tag, attributes)
    assert [tag for tag, _ in page.tags].count("script") == 2
    if not echoed:
        assert not set(page.html) & set("\u202e\u2066\x01\x02\x7f\x9b")
        assert len(page.html) < 150_000


def test_stored_texts_break_out_of_no_page(platform: Platform) -> None:
    """As inputs, as keys, as what was typed into a form and into an address."""
    with Browser(platform.url) as browser:
        for hostile in HOSTILE:
            given = {"text": hostile[:9_000], "document_id": hostile[:64]}
            answer = platform.client.post("/models/text_classifier/submit", json=[given])
            assert answer.status_code == 202, answer.text
            task_id = answer.json()["task_id"]
            platform.finished(task_id)
            stored(browser.page(f"/console/task/{task_id}"))
            for form in (given, {"text": hostile, "document_id": hostile}):
                stored(Page(browser.post("/console/try/text_classifier", form).text), echoed=True)
            asked = {"model": hostile[:3000], "client": hostile[:64]}
            stored(Page(browser.get("/console/tasks", params=asked).text), echoed=True)
            stored(Page(browser.get("/console/tasks", params={"status": hostile[:3000]}).text))
            stored(Page(browser.get(f"/console/task/{quote(hostile[:200].replace('/', ''))}").text))


def test_stored_errors_clients_and_reasons_break_out_of_no_page(platform: Platform) -> None:
    """What no client can write by HTTP, and a database may hold all the same."""
    engine = connect(platform.database_url)
    task_id = platform.submit(REPORT)
    platform.finished(task_id)
    with Browser(platform.url) as browser:
        for hostile in HOSTILE:
            with engine.begin() as change:
                change.execute(_ERROR, {"id": task_id, "text": hostile})
                change.execute(_EVENT, {"text": hostile})
            for path in (f"/console/task/{task_id}", "/console/tasks", "/", "/console/models/report_scorer"):
                stored(browser.page(path))
    with engine.begin() as change:
        change.execute(_MENDED, {"id": task_id})
        change.execute(text("DELETE FROM model_events WHERE by LIKE 'console: %'"))
    engine.dispose()


_ERROR = text("UPDATE tasks SET status = 'FAILURE', error = :text WHERE id = :id")
_MENDED = text("UPDATE tasks SET status = 'SUCCESS', error = NULL WHERE id = :id")
_EVENT = text("""
INSERT INTO model_events (model, version, event, old_state, new_state, by, reason)
VALUES ('report_scorer', '1.0.0', 'promoted', 'live', 'live', 'console: ' || :text, :text)
""")
