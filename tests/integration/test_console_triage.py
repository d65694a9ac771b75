"""The triage desk without a browser: what a reviewer sees, decides, takes back and gives back."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from cli.explain import explain
from store import keys
from store.engine import connect
from store.keys import Role
from tests.browsing import Browser, Page
from tests.running import REPORT, Platform

DESK = "/console/triage/report_scorer"

NewDesk = Callable[[str], "Reviewing"]


class Reviewing:
    """A reviewer's browser at the desk, whose filter leaves him the reports of one test."""

    def __init__(self, browser: Browser, task_filter: str) -> None:
        self.browser, self.query = browser, f"?{task_filter}"

    def post(self, action: str, **form: str) -> Page:
        """Send a form, and return the page that it leads to."""
        return Page(self.answer(action, **form).text)

    def answer(self, action: str, **form: str) -> Any:
        answer = self.browser.post(f"{DESK}/{action}{self.query}", form)
        assert answer.status_code in (200, 303), answer.text
        return self.browser.get(answer.headers["location"]) if answer.status_code == 303 else answer

    def part(self, action: str, **form: str) -> Page:
        """Send a form as the script does, and return what it gets."""
        answer = self.browser.post(f"{DESK}/{action}{self.query}", form, **{"X-Part": "1"})
        assert answer.status_code == 200, answer.text
        return Page(answer.text)

    def look(self) -> Page:
        return self.browser.page(DESK + self.query)


def leases(page: Page) -> list[str]:
    return page.of("article", "data-lease")


def form_of(page: Page) -> dict[str, str]:
    """Return the hidden fields of the first prediction's form."""
    article = page.html.partition("<article")[2]
    return {name: re.findall(rf'name="{name}" value="([^"]+)"', article)[0] for name in ("lease", "decided_at")}


def undo_form(page: Page) -> dict[str, str]:
    last = page.html.partition('id="last"')[2]
    return {name: re.findall(rf'name="{name}" value="([^"]+)"', last)[0] for name in ("lease", "decided_at")}


@pytest.fixture(scope="module")
def owner(platform: Platform) -> Iterator[Engine]:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


_marks = iter(range(900_000, 1_000_000))


def seeded(platform: Platform, count: int) -> str:
    """Score so many new reports, and return the filter that finds them."""
    mark = next(_marks)
    reports = [
        {**REPORT, "lifetime_matches_created": mark, "popularity": n % 6, "report_id": f"{mark}-{n}"}
        for n in range(count)
    ]
    platform.finished(platform.submit(*reports))
    return f"lifetime_matches_created.ge={mark}&lifetime_matches_created.le={mark}"


@pytest.fixture
def desks(platform: Platform) -> Iterator[Callable[[int], NewDesk]]:
    """Seed reports; the desks of any reviewers are about these."""
    browsers: list[Browser] = []

    def seed(count: int) -> NewDesk:
        found, run = seeded(platform, count), time.monotonic_ns()

        def desk(name: str) -> Reviewing:
            browsers.append(Browser(platform.url))
            reviewing = Reviewing(browsers[-1], found)
            assert "Who reviews?" in reviewing.look().text
            reviewing.post("reviewer", reviewer=f"{name}-{run}")
            return reviewing

        return desk

    yield seed
    for browser in browsers:
        browser.__exit__()


def said(platform: Platform, desk: Reviewing) -> list[dict[str, Any]]:
    """Return what is stored of a reviewer, the latest first."""
    (reviewer,) = re.findall(r"You review as <strong><bdi>([^<]+)", desk.look().html)
    found: list[dict[str, Any]] = platform.client.get("/outcomes", params={"reviewer": reviewer}).json()["outcomes"]
    return found


def draw(owner: Engine, lease: str) -> Any:
    with owner.connect() as connection:
        return connection.execute(text("SELECT * FROM draws WHERE id = :id"), {"id": int(lease)}).one()


def test_a_decision_is_stored_and_leads_to_the_next_report(
    platform: Platform, owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    desk = desks(3)("ada")
    assert "Start reviewing" in desk.look().text
    assert leases(desk.look()) == []  # looking leases nothing
    page = desk.post("next")
    (first,) = leases(page)
    assert re.search(r"9\d{5}-\d", page.text)
    assert page.of("button", "value") == ["abuse", "not_abuse", "unclear"]
    assert leases(desk.look()) == [first]  # a reload shows the same one
    page = desk.post("decide", **form_of(page), outcome="not_abuse")
    (second,) = leases(page)
    assert second != first
    (stored,) = said(platform, desk)
    assert (stored["outcome"], stored["predictions"]) == ("not_abuse", 1)
    noted = draw(owner, first)
    assert (noted.ending, noted.outcome, str(noted.task_id)) == ("decided", "not_abuse", stored["task_id"])
    assert noted.shown_at is not None
    for _ in range(2):
        page = desk.post("decide", **form_of(page), outcome="abuse")
    assert "Nothing is left" in page.text
    assert len(said(platform, desk)) == 3


def test_what_a_score_is_made_of_is_shown_unless_the_score_is_hidden(
    platform: Platform, owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    desk = desks(12)("ada")
    (mark,) = set(re.findall(r"lifetime_matches_created\.ge=(\d+)", desk.query))
    run = CliRunner().invoke(
        explain,
        ["report_scorer", "--where", f"lifetime_matches_created = {mark}"],
        env={"DATABASE_URL": platform.database_url},
        help_option_names=["-h", "--help"],
    )
    assert run.exit_code == 0, run.output
    seen = set()
    page = desk.post("next")
    while found := leases(page):
        policy = draw(owner, found[0]).policy
        assert ("What the score is made of" in page.text) == (policy == "ranked")
        if policy == "ranked":
            parts = re.findall(r'<td class="n">([+-]\d+\.\d\d)</td>', page.html)
            assert len(parts) == 5
            sizes = [abs(float(part)) for part in parts]
            assert sizes == sorted(sizes, reverse=True)
        seen.add(policy)
        page = desk.post("decide", **form_of(page), outcome="abuse")
    assert "ranked" in seen


def test_a_repeated_decision_is_stored_once_and_another_one_corrects_it(
    platform: Platform, desks: Callable[[int], NewDesk]
) -> None:
    desk = desks(4)("ada")
    form = form_of(desk.post("next"))
    pages = [desk.post("decide", **form, outcome="abuse") for _ in range(3)]
    assert leases(pages[0]) == leases(pages[1]) == leases(pages[2]) != [form["lease"]]
    assert [one["outcome"] for one in said(platform, desk)] == ["abuse"]
    desk.post("decide", **form, outcome="unclear")  # the page before, by the back button
    assert [one["outcome"] for one in said(platform, desk)] == ["unclear", "abuse"]
    wrong = desk.browser.post(f"{DESK}/decide{desk.query}", {**form, "outcome": "no such"})
    assert wrong.status_code == 422
    assert "Must be one of" in Page(wrong.text).text


def test_what_is_undone_is_on_the_desk_again_and_nobody_else_gets_it(
    platform: Platform, owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    desk_of = desks(3)
    ada, bo = desk_of("ada"), desk_of("bo")
    first = form_of(ada.post("next"))
    mistaken = undo_form(ada.post("decide", **first, outcome="abuse"))
    assert mistaken["lease"] == first["lease"]
    page = ada.post("undo", **mistaken)
    assert first["lease"] in leases(page)
    assert draw(owner, first["lease"]).ending is None
    bos = bo.part("next")
    places = {(draw(owner, one).task_id, draw(owner, one).position) for one in leases(bos)}
    undone = draw(owner, first["lease"])
    assert (undone.task_id, undone.position) not in places
    assert "taken this decision back" in ada.post("decide", **first, outcome="unclear").text  # an old page
    again = form_of(ada.look())
    assert again["lease"] == first["lease"]
    ada.post("decide", **again, outcome="not_abuse")
    for _ in range(2):
        ada.answer("undo", **mistaken)  # a browser that repeats it takes back no later decision
    kinds = [(one["outcome"], one["withdrawn"]) for one in said(platform, ada)]
    assert kinds == [("not_abuse", False), (None, True), ("abuse", False)]
    assert draw(owner, first["lease"]).outcome == "not_abuse"
    with owner.connect() as connection:
        where = {"task": undone.task_id, "position": undone.position}
        query = "SELECT outcome FROM report_scorer_outcomes WHERE task_id = :task AND position = :position"
        assert connection.execute(text(query), where).scalars().all() == ["not_abuse"]


def test_undo_goes_back_several_decisions(platform: Platform, desks: Callable[[int], NewDesk]) -> None:
    desk = desks(3)("ada")
    page, decided = desk.post("next"), []
    for _ in range(3):
        decided.append(form_of(page)["lease"])
        page = desk.post("decide", **form_of(page), outcome="abuse")
    for lease in reversed(decided):
        form = undo_form(page)
        assert form["lease"] == lease
        page = desk.post("undo", **form)
    assert leases(page) == decided
    assert [one["withdrawn"] for one in said(platform, desk)] == [True] * 3 + [False] * 3


def test_a_skipped_report_goes_to_others_and_not_to_the_same_one(
    owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    desk_of = desks(1)
    ada, bo = desk_of("ada"), desk_of("bo")
    form = form_of(ada.post("next"))
    assert "Nothing is left" in bo.post("next").text
    assert "Nothing is left" in ada.post("skip", **form).text
    assert draw(owner, form["lease"]).ending == "released"
    assert "Nothing is left" in ada.post("next").text
    (other,) = leases(bo.post("next"))
    assert draw(owner, other).task_id == draw(owner, form["lease"]).task_id


def test_what_is_loaded_ahead_counts_as_shown_only_when_it_is_displayed(
    platform: Platform, owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    desk = desks(8)("ada")
    loaded = leases(desk.part("next"))
    assert len(loaded) == 5
    assert [draw(owner, one).shown_at for one in loaded] == [None] * 5
    assert desk.browser.post(f"{DESK}/shown{desk.query}", {"lease": loaded[1]}).status_code == 204
    assert [draw(owner, one).shown_at is None for one in loaded] == [True, False, True, True, True]
    have = ",".join(loaded)
    form = {**form_of(desk.look()), "have": have}
    assert form["lease"] == loaded[1]  # what was displayed comes first again
    assert leases(desk.part("decide", **form, outcome="abuse")) == []  # four are held: enough
    for lease in loaded[2:4]:
        page = desk.part("decide", lease=lease, decided_at=form["decided_at"], outcome="abuse", have=have)
    new = leases(page)
    assert len(new) == 3
    assert not set(new) & set(loaded)
    assert draw(owner, new[0]).shown_at is None
    with owner.begin() as connection:
        connection.execute(text("UPDATE draws SET lease_until = now() WHERE id = :id"), {"id": int(new[0])})
    late = desk.browser.post(f"{DESK}/shown{desk.query}", {"lease": new[0]})
    assert late.headers["hx-refresh"] == "true"  # somebody else may hold it now
    assert draw(owner, new[0]).shown_at is None
    foreign = desk.browser.post(f"{DESK}/shown{desk.query}", {"lease": "999999999"})
    assert "Unknown lease" in Page(foreign.text).text


def test_two_reviewers_get_no_report_twice_and_lose_none(
    platform: Platform, owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    """One without script and one with it, at once; who has a blind one sees no score."""
    count, desk_of = 200, desks(200)
    got: dict[str, list[str]] = {"ada": [], "bo": []}

    def blind(page: Page, lease: str) -> bool:
        article = page.html.partition(f'data-lease="{lease}"')[2].partition("</article>")[0]
        assert ("The score is hidden" in article) != bool(re.search(r"<strong>\d\.\d{3}</strong>", article))
        return "The score is hidden" in article

    hidden: dict[str, bool] = {}

    def by_forms(desk: Reviewing) -> None:
        page = desk.post("next")
        while found := leases(page):
            got["ada"].append(found[0])
            hidden[found[0]] = blind(page, found[0])
            page = desk.post("decide", **form_of(page), outcome="abuse")

    def by_script(desk: Reviewing) -> None:
        page = desk.part("next")
        ahead = [(lease, form_of(page)["decided_at"]) for lease in leases(page)]
        while ahead:
            lease, at = ahead.pop(0)
            got["bo"].append(lease)
            have = ",".join([*got["bo"], *(one for one, _ in ahead)])
            page = desk.part("decide", lease=lease, decided_at=at, outcome="not_abuse", have=have)
            ahead += [(one, form_of(page)["decided_at"]) for one in leases(page)]
            hidden.update({one: blind(page, one) for one in leases(page)})

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(by_forms, desk_of("ada")), pool.submit(by_script, desk_of("bo"))]:
            done.result()
    noted = {lease: draw(owner, lease) for mine in got.values() for lease in mine}
    first = [(one.task_id, one.position) for one in noted.values() if one.policy != "second"]
    assert len(first) == len(set(first)) == count
    assert all(got.values())
    assert {one.ending for one in noted.values()} == {"decided"}
    for mine in got.values():
        assert len({noted[lease].position for lease in mine}) == len(mine)
    assert hidden == {lease: noted[lease].policy != "ranked" for lease in hidden}


def test_filters_stand_in_the_address_and_are_noted_with_the_draw(
    owner: Engine, desks: Callable[[int], NewDesk]
) -> None:
    desk = desks(6)("ada")
    desk.query += "&popularity.ge=4&popularity.le=4&abuse_type="
    page = desk.post("next")
    (lease,) = leases(page)
    assert draw(owner, lease).filter["popularity"] == {"ge": 4, "le": 4}
    assert "Nothing is left" in desk.post("decide", **form_of(page), outcome="abuse").text
    wrong = desk.browser.get(f"{DESK}?popularity.ge=many&color=red")
    assert wrong.status_code == 422
    assert "whole number" in Page(wrong.text).text
    assert "Unknown field" in Page(wrong.text).text
    assert desk.browser.get("/console/triage/translator").status_code == 409
    assert desk.browser.get("/console/triage").headers["location"] == DESK


def test_no_other_site_moves_a_reviewer(desks: Callable[[int], NewDesk]) -> None:
    desk = desks(1)("ada")
    for action in ("next", "decide", "undo", "skip", "shown", "reviewer"):
        sent = desk.browser.client.post(f"{DESK}/{action}", headers={"Sec-Fetch-Site": "cross-site"})
        assert sent.status_code == 403, action
    with Browser(desk.browser.url) as nobody:
        assert nobody.post(f"{DESK}/next").headers["location"] == DESK  # which asks who it is
        assert nobody.post(f"{DESK}/next", **{"X-Part": "1"}).headers["hx-refresh"] == "true"


def test_the_leads_page_tells_what_is_left_the_pace_and_the_agreement(
    platform: Platform, desks: Callable[[int], NewDesk]
) -> None:
    desk = desks(2)("lead-reader")
    page = desk.post("next")
    desk.post("decide", **form_of(page), outcome="abuse")
    seen = desk.browser.page(f"{DESK}/lead").text
    assert "lead-reader" in seen
    for words in ("an hour", "highest score", "Krippendorff", "Cohen's kappa", "given back"):
        assert words in seen, words
    left = int(re.findall(r"Left ([\d,]+)", seen)[0].replace(",", ""))
    assert left >= 0


@pytest.mark.parametrize("role", list(Role))
def test_a_role_sees_the_desk_the_leads_page_or_neither(closed: Platform, closed_engine: Engine, role: Role) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, f"desk-{role}", role)
    with Browser(closed.url) as browser:
        browser.sign_in(key)
        reviews, leads = role in (Role.TRIAGE, Role.ADMIN), role is not Role.SUBMIT
        assert browser.get(DESK).status_code == (200 if reviews else 403)
        assert browser.get(f"{DESK}/lead").status_code == (200 if leads else 403)
        assert browser.post(f"{DESK}/next").status_code in ((200, 303) if reviews else (403,))
        assert ("/console/triage" in browser.page("/console/tasks").of("a", "href")) == reviews
        if reviews:
            assert f"You review as desk-{role}" in browser.page(DESK).text
            browser.post(f"{DESK}/reviewer", {"reviewer": "Žofie, «night»"})
            assert "You review as Žofie, «night»" in browser.page(DESK).text


def opened(page: Page) -> list[str]:
    """Return the leases that are not hidden."""
    return [str(given["data-lease"]) for name, given in page.tags if name == "article" and "hidden" not in given]


def test_a_page_that_is_loaded_again_shows_what_was_displayed_last(desks: Callable[[int], NewDesk]) -> None:
    desk = desks(7)("reloads")

    def display(lease: str) -> None:
        answer = desk.browser.post(f"{DESK}/shown{desk.query}", {"lease": lease}, **{"X-Part": "1"})
        assert answer.status_code == 204, answer.text

    loaded = desk.part("next")
    first, second, third, fourth, *_ = leases(loaded)
    assert opened(desk.look()) == [first], "none was displayed yet"
    for lease in (first, second, third):
        display(lease)
        assert opened(desk.look()) == [lease], "who walks on comes back to where he was"
    display(second)
    assert opened(desk.look()) == [second], "who walks back, too"
    decision = {"lease": second, "outcome": "abuse", "decided_at": form_of(loaded)["decided_at"]}
    decided = desk.part("decide", **decision, have=f"{first},{second},{third},{fourth}")
    assert opened(desk.look()) == [third], "the page is loaded before the handler hears of the next one"
    display(fourth)
    assert opened(desk.look()) == [fourth], "what comes late counts"
    assert leases(desk.look())[:3] == [first, third, fourth], "their order stays"
    desk.part("undo", **undo_form(decided))
    assert opened(desk.look()) == [second], "what was taken back is open"
