"""The questions of docs/how-to/console.md: each answer is at most three clicks from the first page."""

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from registry import administration
from store import keys, task_events
from store.keys import Role
from store.task_events import TaskEvent, client_as_actor
from tests.browsing import Browser, Page
from tests.integration.test_console_shadow import CANDIDATE, REVERSED
from tests.running import REPORT, ROOT, Platform, eventually

CLIENT, VERSION, KEY = "asks-questions", "asked-shadow", "asked-report"
LINK = re.compile(r'<a\b[^>]*href="([^"]+)"[^>]*>(.*?)</a>', re.DOTALL)
FAILED = "UPDATE tasks SET status = 'FAILURE', error = 'worker lost 3 times', attempt = 3 WHERE id = CAST(:id AS uuid)"
CALLED = (
    "INSERT INTO webhooks (task_id, url, attempts, delivered_at) VALUES (:id, 'https://hooks.example.com', 1, now())"
)
DRIFTED = """
INSERT INTO drift (model, version, day, column_name, against, rows, reference_rows, psi, band, jensen_shannon, missing,
    unseen, found, findings)
VALUES ('report_scorer', '1.0.0', '2099-01-30', 'score', 'week', 5000, 35000, 0.3, 0.01, 0.1, 0, 0, true,
    ARRAY['distribution'])
"""


class Asked(NamedTuple):
    """Tasks that are asked about."""

    done: str
    failed: str


class Clicks:
    """A person without script who begins at the first page; following a link or sending a form is a click."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.count = browser, 0
        self.page: Page = browser.page("/")

    def follow(self, words: str) -> "Clicks":
        found = (address for address, inner in LINK.findall(self.page.html) if words in re.sub("<[^>]*>", "", inner))
        address = next(found, None)
        assert address is not None, f"no link {words!r} in {self.page.text}"
        return self._at(self.browser.page(unescape(address)))

    def filter(self, **fields: str) -> "Clicks":
        assert all(name in self.page.of("input", "name") + self.page.of("select", "name") for name in fields)
        return self._at(self.browser.page(f"/console/tasks?{urlencode(fields)}"))

    def send(self, path: str, **fields: str) -> "Clicks":
        assert path in self.page.of("form", "action")
        answer = self.browser.post(path, fields)
        assert answer.status_code == 200, answer.text
        return self._at(Page(answer.text))

    def _at(self, page: Page) -> "Clicks":
        self.page, self.count = page, self.count + 1
        return self


@pytest.fixture(scope="module")
def asked(closed: Platform, closed_engine: Engine) -> Iterator[Asked]:
    with closed_engine.begin() as connection:
        key = keys.create(connection, CLIENT, Role.SUBMIT)
        connection.execute(text(CANDIDATE.replace("\\x01", "\\x02")), {"version": VERSION})
        administration.shadow(connection, "report_scorer", VERSION, "test")
        connection.execute(text(DRIFTED))
    headers = {"Authorization": f"Bearer {key}"}
    ids = []
    for report_id in (KEY, None):
        answer = closed.client.post("/submit", json=[{**REPORT, "report_id": report_id}], headers=headers)
        ids.append(answer.json()["task_id"])
        waited = closed.client.get(f"/task/{ids[-1]}", headers={**headers, "Prefer": "wait=30"})
        assert waited.json()["status"] == "SUCCESS"
    with closed_engine.begin() as connection:
        connection.execute(text(REVERSED), {"version": VERSION, "task_id": ids[0]})
        connection.execute(text(CALLED), {"id": ids[0]})
        connection.execute(text(FAILED), {"id": ids[1]})
        task_events.note(connection, TaskEvent.REPLAYED, client_as_actor("night-shift"), [UUID(ids[1])])
    yield Asked(*ids)
    with closed_engine.begin() as connection:
        administration.shadow(connection, "report_scorer", VERSION, "test", stop=True)
        connection.execute(text("DELETE FROM drift WHERE day = '2099-01-30'"))
        for table in ("version_scores", "model_events", "model_versions"):
            connection.execute(text(f"DELETE FROM {table} WHERE version = :version"), {"version": VERSION})


@pytest.fixture
def clicks(closed: Platform, closed_engine: Engine) -> Iterator[Clicks]:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "asker", Role.ADMIN)
    with Browser(closed.url) as browser:
        yield Clicks(browser.sign_in(key))


def of_client(clicks: Clicks, **fields: str) -> Clicks:
    return clicks.follow("Tasks").filter(client=CLIENT, **fields)


QUESTIONS: dict[str, tuple[Callable[[Clicks, Asked], Any], str]] = {
    "Why did this task fail?": (lambda c, a: c.follow("Tasks").filter(id=a.failed), "worker lost 3 times"),
    "Which version scored this report?": (
        lambda c, a: c.follow("Tasks").filter(model="report_scorer", key=KEY).follow(a.done[-6:]),
        "version 1.0.0",
    ),
    "Did the callback arrive?": (
        lambda c, a: of_client(c).follow(a.done[-6:]),
        "hooks.example.com: delivered",
    ),
    "Who has replayed this task?": (
        lambda c, a: c.follow("Tasks").filter(id=a.failed),
        "replayed by night-shift",
    ),
    "Who made this version live, and why?": (
        lambda c, _: c.follow("Models").follow("report_scorer"),
        "promoted candidate live millrace",
    ),
    "How many reports still need a reviewer?": (
        lambda c, _: c.follow("Triage").follow("What is left"),
        "without an outcome and held by nobody",
    ),
    "Is a worker short of memory?": (lambda c, _: c.follow("Workers"), " MiB"),
    "What would the shadow have scored?": (
        lambda c, a: of_client(c).follow(a.done[-6:]),
        f"What other versions say row version score label could not because 1 {VERSION} 0.",
    ),
    "Which tasks of a client failed today?": (
        lambda c, _: c.follow("Tasks").follow("Failed today").follow(CLIENT),
        "1 task ",
    ),
    "Is the model worse than last week?": (
        lambda c, _: c.follow("Models").follow("report_scorer"),
        "score week distribution",
    ),
    "How do I call this model from my program?": (
        lambda c, _: (
            c.follow("Try it")
            .follow("report_scorer")
            .send("/console/try/report_scorer", **{name: str(value) for name, value in REPORT.items()})
        ),
        "curl",
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_in_three_clicks(clicks: Clicks, asked: Asked, question: str) -> None:
    walk, answer = QUESTIONS[question]
    walk(clicks, asked)
    assert answer in clicks.page.text, clicks.page.text
    assert clicks.count <= 3


NOTHING = "Why does nothing get scored?"


def test_the_first_page_says_why_nothing_gets_scored(closed: Platform, closed_engine: Engine) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "waits-for-nobody", Role.ADMIN)
    headers = {"Authorization": f"Bearer {key}"}
    body = [{"text": "waits", "document_id": "d"}]
    task_id = closed.client.post("/models/text_classifier/submit", json=body, headers=headers).json()["task_id"]
    with Browser(closed.url) as browser:
        browser.sign_in(key)
        words = "no worker has the model loaded"
        eventually(lambda: words in browser.page("/").text, every=0.5)
    closed.client.delete(f"/task/{task_id}", headers=headers)


def test_every_question_of_the_documentation_is_asked_here() -> None:
    page = (ROOT / "docs/how-to/console.md").read_text().partition("## Find out …")[2].partition("\n## ")[0]
    questions = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(questions) >= 10
    assert set(questions) == {*QUESTIONS, NOTHING}


def test_who_submits_does_not_see_what_other_versions_say(
    closed: Platform, closed_engine: Engine, asked: Asked
) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, CLIENT, Role.SUBMIT)
    with Browser(closed.url) as browser:
        page = browser.sign_in(key).page(f"/console/task/{asked.done}")
    assert "other versions" not in page.text
    assert VERSION not in page.html
