"""The list of what may come next: the pool by rank, a page at a time; nothing is leased, and no score is told."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from store import keys
from store.engine import connect
from store.keys import Role
from tests.browsing import Browser, Page
from tests.running import REPORT, Platform, handler

DESK = "/console/triage/report_scorer"
COUNTS = text("SELECT count(*), count(shown_at) FROM draws")


@pytest.fixture(scope="module")
def owner(platform: Platform) -> Iterator[Engine]:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def mark(platform: Platform) -> str:
    """The filter of 45 reports with keys and two without, which are scored."""
    number = time.monotonic_ns() % 1_000_000_000
    reports = [
        {**REPORT, "lifetime_matches_created": number, "report_text_len": 10 + n * 13 % 700, "popularity": n % 6}
        for n in range(47)
    ]
    platform.finished(platform.submit(*({**one, "report_id": f"l-{number}-{n}"} for n, one in enumerate(reports[:45]))))
    platform.finished(platform.submit(*reports[45:]))
    return f"lifetime_matches_created.ge={number}&lifetime_matches_created.le={number}"


@pytest.fixture
def browser(platform: Platform) -> Iterator[Browser]:
    with Browser(platform.url) as browser:
        browser.post(f"{DESK}/reviewer", {"reviewer": f"looks-{time.monotonic_ns()}"})
        yield browser


def listed(page: Page) -> list[str]:
    """Return the keys that lead to the desk."""
    return re.findall(r'title="Open at the desk"><bdi>([^<]+)', page.html)


def by_place(page: Page) -> list[str]:
    """Return the links that lead to the desk by a report's task and position."""
    return [link for link in page.of("a", "href") if "task_id=" in link]


def following(browser: Browser, page: Page) -> Page:
    (more,) = [link for link in page.of("a", "href") if "/list/" in link]
    return browser.page(more)


def by_rank(owner: Engine, mark: str) -> list[str]:
    number = mark.rpartition("=")[2]
    query = text("""SELECT report_id FROM report_scores WHERE lifetime_matches_created = :n
        ORDER BY score DESC, task_id, position""")
    with owner.connect() as connection:
        return [one or "no key" for one in connection.scalars(query, {"n": int(number)})]


def test_pages_follow_each_other_by_rank_and_leave_none_out(browser: Browser, owner: Engine, mark: str) -> None:
    first = browser.page(f"{DESK}/list?{mark}")
    second = following(browser, first)
    third = following(browser, second)
    wanted = [one for one in by_rank(owner, mark) if one != "no key"]
    assert [*listed(first), *listed(second), *listed(third)] == wanted
    rows = [len(re.findall("<tr>", page.html)) - 1 for page in (first, second, third)]
    assert rows == [20, 20, 7]
    links = [link for page in (first, second, third) for link in by_place(page)]
    assert len(set(links)) == 2, "those without a key"
    assert not [link for link in third.of("a", "href") if "/list/" in link]


def test_looking_leases_nothing_and_tells_no_score(browser: Browser, owner: Engine, mark: str) -> None:
    with owner.connect() as connection:
        before = connection.execute(COUNTS).one()
    page = browser.page(f"{DESK}/list?{mark}")
    assert "nothing is leased" in page.text
    assert "Scores are hidden" in page.text
    assert "/console/task/" not in page.html
    assert not re.search(r"0\.\d{3}", page.text)
    with owner.connect() as connection:
        assert connection.execute(COUNTS).one() == before
    assert "Start reviewing" in browser.page(f"{DESK}?{mark}").text, "the desk is as empty as it was"


def test_a_key_opens_its_report_at_the_desk_and_takes_it_off_the_list(
    platform: Platform, browser: Browser, mark: str
) -> None:
    page = browser.page(f"{DESK}/list?{mark}")
    best = listed(page)[0]
    assert f"{DESK}?report_id={best}" in page.of("a", "href")
    opened = browser.post(f"{DESK}/next?report_id={best}").headers["location"]
    assert best in browser.page(opened).text
    assert best not in listed(browser.page(f"{DESK}/list?{mark}"))
    with Browser(platform.url) as other:
        other.post(f"{DESK}/reviewer", {"reviewer": "somebody-else"})
        assert best not in listed(other.page(f"{DESK}/list?{mark}"))
        assert "needs a decision" in other.page(f"{DESK}/list?report_id={best}").text


def test_a_report_without_a_key_opens_by_its_task_and_position(
    browser: Browser, owner: Engine, platform: Platform
) -> None:
    number = time.monotonic_ns() % 1_000_000_000
    plain = {**REPORT, "lifetime_matches_created": number}
    task = platform.submit(plain, {**plain, "popularity": 1}, {**plain, "popularity": 2})
    platform.finished(task)
    links = by_place(browser.page(f"{DESK}/list?lifetime_matches_created={number}"))
    assert sorted(links) == [f"{DESK}?task_id={task}&position={position}" for position in range(3)]
    link = f"{DESK}?task_id={task}&position=1"
    assert "Start reviewing" in browser.page(link).text
    opened = browser.post(link.replace("?", "/next?")).headers["location"]
    assert f"Row 2 of task {task[-12:]}" in browser.page(opened).text
    with owner.connect() as connection:
        held = connection.execute(text("SELECT position FROM draws WHERE task_id = :id"), {"id": task}).scalars()
        assert list(held) == [1], "the others stay where they are"
    assert len(by_place(browser.page(f"{DESK}/list?lifetime_matches_created={number}"))) == 2
    for wrong, words in ((f"task_id={task[:8]}", "Must be the id of a task"), ("position=x", "Must be a whole number")):
        refused = browser.get(f"{DESK}?{wrong}")
        assert (refused.status_code, words in refused.text) == (422, True), refused.text
    asked = {"model": "report_scorer", "reviewer": "by-place", "filter": {"task_id": task, "position": {"ge": 2}}}
    (lease,) = platform.client.post("/triage/leases", json=asked).json()["leases"]
    assert (lease["task_id"], lease["position"]) == (task, 2)


def test_scores_are_told_where_no_draw_hides_them(
    platform: Platform, mark: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"TRIAGE_RANDOM_SHARE": "0", "TRIAGE_SECOND_SHARE": "0"}
    with handler(platform.database_url, redis_url, tmp_path, **settings) as plain, Browser(plain.url) as browser:
        browser.post(f"{DESK}/reviewer", {"reviewer": "sees-scores"})
        page = browser.page(f"{DESK}/list?{mark}")
    scores = [float(one) for one in re.findall(r'<td class="n output">([\d.]+)<', page.html)]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert "/console/task/" in page.html
    assert "Scores are hidden" not in page.text


def test_the_list_asks_who_reviews_and_refuses_what_there_is_not(platform: Platform, browser: Browser) -> None:
    with Browser(platform.url) as nobody:
        assert nobody.get(f"{DESK}/list").headers["location"] == DESK
    assert browser.get(f"{DESK}/list?color=red").status_code == 422
    assert browser.get("/console/triage/translator/list").status_code == 409
    gone = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"
    assert "Nothing more" in browser.page(f"{DESK}/list/{gone}/0").text
    assert browser.get(f"{DESK}/list/{gone}/first").status_code == 422
    assert browser.get(f"{DESK}/list/x/0").status_code in (404, 422)


@pytest.mark.parametrize("role", list(Role))
def test_only_who_reviews_sees_the_list(closed: Platform, closed_engine: Engine, role: Role) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, f"list-{role}", role)
    with Browser(closed.url) as browser:
        allowed = role in (Role.TRIAGE, Role.ADMIN)
        assert browser.sign_in(key).get(f"{DESK}/list").status_code == (200 if allowed else 403)
