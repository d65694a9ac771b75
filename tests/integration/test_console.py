"""The console without a browser: what its pages say, and what its forms do."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, make_url, text

from store import keys
from store.engine import connect
from store.keys import Role
from tests.artifacts import on_disk
from tests.browsing import Browser, Page
from tests.conftest import NewClient
from tests.faults.proxy import Proxy
from tests.running import REPORT, Platform, eventually, handler

CSV = b"abuse_type,report_text_len,profile_rating,popularity,lifetime_matches_created\n"
FILE = CSV + b"MSG,120,4.2,3,57\nPRF,160,1.4,9,12\nPRF,160,1.4,4,12\n"  # the second row is invalid
LARGEST = 100_000
"""Bytes of a page with all that it loads, compressed."""


@pytest.fixture(scope="module")
def browser(platform: Platform) -> Iterator[Browser]:
    with Browser(platform.url) as browser:
        yield browser


@pytest.fixture(scope="module")
def engine_of(platform: Platform) -> Iterator[Engine]:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def failed(platform: Platform, engine_of: Engine) -> str:
    """A task that failed, with its inputs kept."""
    task_id = platform.submit(REPORT)
    platform.finished(task_id)
    with engine_of.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET status = 'FAILURE', error = 'worker lost 3 times', attempt = 3 WHERE id = :id"),
            {"id": task_id},
        )
        payload = json.dumps([REPORT]).encode()
        connection.execute(text("DELETE FROM report_scores WHERE task_id = :id"), {"id": task_id})
        connection.execute(
            text("INSERT INTO task_inputs (task_id, payload) VALUES (:id, :p)"), {"id": task_id, "p": payload}
        )
    return task_id


def test_the_root_is_the_console_for_browsers_and_the_documentation_for_programs(platform: Platform) -> None:
    page = platform.client.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    program = platform.client.get("/")
    assert (program.status_code, program.headers["location"]) == (307, "/docs")
    assert {page.headers["vary"], program.headers["vary"]} == {"Accept"}
    assert "/docs" in Page(page.text).of("a", "href")


def test_every_page_says_that_no_key_is_needed(browser: Browser, platform: Platform) -> None:
    task_id = platform.submit(REPORT)
    for path in (*PAGES, f"/console/task/{task_id}", "/console/task/0"):
        assert "AUTH=off" in Page(browser.get(path, follow_redirects=True).text).text, path


PAGES = (
    *("/", "/console/tasks", "/console/models", "/console/models/report_scorer", "/console/try"),
    *("/console/try/image_classifier", "/console/workers", "/console/keys"),
    *("/console/triage/report_scorer", "/console/triage/report_scorer/lead"),
)


def test_every_page_with_all_that_it_loads_is_small_and_of_this_host(browser: Browser) -> None:
    for path in PAGES:
        page = browser.page(path)
        loaded = [*page.of("script", "src"), *page.of("link", "href"), *page.of("img", "src")]
        assert all(address.startswith("/console/static/") for address in loaded), path
        size = len(gzip.compress(page.html.encode()))
        for address in set(loaded):
            answer = browser.get(address)
            assert answer.status_code == 200
            size += len(gzip.compress(answer.content))
        assert size < LARGEST, (path, size)


def test_no_page_has_a_script_or_style_of_its_own(browser: Browser, failed: str) -> None:
    for path in (*PAGES, f"/console/task/{failed}"):
        page = browser.page(path)
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page.html), path
        policy = browser.get(path, follow_redirects=True).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self';" in policy


def test_the_first_page_says_how_the_platform_is(browser: Browser, platform: Platform) -> None:
    platform.finished(platform.submit(*[REPORT] * 500))
    seen = browser.page("/").text
    assert "inputs a second" in seen
    assert "of 1 working" in seen
    for model in ("report_scorer", "translator"):
        assert model in seen
    plots = Page(browser.page("/").html)
    assert len(plots.of("svg", "role")) == 2
    assert plots.html.count("As a table") == 2


def test_filters_of_tasks_stand_in_the_address(browser: Browser, platform: Platform, failed: str) -> None:
    done = platform.submit(REPORT)
    platform.finished(done)
    empty = "client=&submitted_after=&submitted_before=&id=&key="  # as a form sends what is not filled in
    failures = browser.page(f"/console/tasks?status=FAILURE&model=report_scorer&{empty}")
    assert failed in failures.html
    assert done not in failures.html
    assert browser.get(f"/console/tasks?id={done}").headers["location"] == f"/console/task/{done}"
    assert "0 tasks" in browser.page("/console/tasks?submitted_before=2001-01-01T00:00:00Z").text
    refused = browser.get("/console/tasks?status=LOST")
    assert refused.status_code == 422
    assert "Invalid parameter" in Page(refused.text).text


def test_a_task_is_found_by_the_callers_own_key(browser: Browser, platform: Platform) -> None:
    task_id = platform.submit({**REPORT, "report_id": "console-key-1"})
    platform.finished(task_id)
    found = browser.page("/console/tasks?model=report_scorer&key=console-key-1")
    assert task_id in found.html
    assert "1 task" in found.text
    assert "0 tasks" in browser.page("/console/tasks?model=report_scorer&key=nobodys").text
    assert browser.get("/console/tasks?key=console-key-1").status_code == 422


def test_the_other_filters_hold_for_a_key_too_and_a_page_of_it_is_refused(browser: Browser, platform: Platform) -> None:
    made = [platform.submit({**REPORT, "report_id": "console-key-2"}) for _ in range(3)]
    for task_id in made:
        platform.finished(task_id)
    found = "/console/tasks?model=report_scorer&key=console-key-2"
    assert [one for one in links_to_tasks(browser.page(found)) if one in made] == made[::-1]
    assert "3 tasks" in browser.page(f"{found}&status=SUCCESS").text
    assert "0 tasks" in browser.page(f"{found}&status=FAILURE").text
    assert "0 tasks" in browser.page(f"{found}&submitted_before=2001-01-01T00:00:00Z").text
    assert browser.get(f"{found}&before={made[0]}").status_code == 422


def links_to_tasks(page: Page) -> list[str]:
    return [address.rpartition("/")[2] for address in page.of("a", "href") if "/console/task/" in address]


def test_an_id_that_is_pasted_into_the_filter_leads_to_its_task_with_htmx(browser: Browser, platform: Platform) -> None:
    task_id = platform.submit(REPORT)
    answer = browser.get(f"/console/tasks?id={task_id}", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, f"/console/task/{task_id}")


def test_pages_of_tasks_follow_each_other_and_leave_none_out(browser: Browser, platform: Platform) -> None:
    made = [platform.submit(REPORT) for _ in range(60)]
    seen: list[str] = []
    path: str | None = "/console/tasks"
    while path and not set(made) <= set(seen):
        page = browser.page(path)
        seen += [address.rpartition("/")[2] for address in page.of("a", "href") if "/console/task/" in address]
        path = next((address for address in page.of("a", "href") if "before=" in address), None)
    assert [one for one in seen if one in made] == made[::-1]


def test_a_task_shows_its_way_its_inputs_and_its_outputs(browser: Browser, platform: Platform) -> None:
    task_id = platform.submit({**REPORT, "report_id": "console-row"}, REPORT)
    task = platform.finished(task_id)
    seen = browser.page(f"/console/task/{task_id}").text
    for words in ("PENDING", "STARTED", "SUCCESS", "attempt 1", "console-row", "priority normal"):
        assert words in seen, words
    assert f"{task['score'][0]:.6g}" in seen  # type: ignore[index]


def test_a_failed_task_names_the_remedy_and_is_replayed(browser: Browser, platform: Platform, failed: str) -> None:
    page = browser.page(f"/console/task/{failed}")
    assert "worker lost 3 times" in page.text
    assert "several tasks" in page.text
    assert "lifetime_matches_created" in page.text
    answer = browser.post(f"/console/task/{failed}/replay")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console/task/{failed}")
    assert platform.finished(failed)["status"] == "SUCCESS"
    assert browser.post(f"/console/task/{failed}/replay").status_code == 409


@pytest.fixture
def old_tasks(engine_of: Engine) -> Iterator[dict[str, list[str]]]:
    """Tasks of a client of their own, by state: 120 each, of 2020. They go, as other tests look at all there is."""
    ids = {status: [str(uuid4()) for _ in range(120)] for status in ("FAILURE", "PENDING", "SUCCESS")}
    with engine_of.begin() as connection:
        for status, those in ids.items():
            add = """INSERT INTO tasks (id, model, status, n_inputs, submitted_at, finished_at, published_at, client)
                SELECT id, 'report_scorer', :status, 1, '2020-01-01', '2020-01-02', now() + interval '1 hour', 'bulk'
                FROM unnest(CAST(:ids AS uuid[])) AS g (id)"""
            connection.execute(text(add), {"status": status, "ids": those})
        keep = """INSERT INTO task_inputs (task_id, payload)
            SELECT id, :payload FROM unnest(CAST(:ids AS uuid[])) AS g (id)"""
        connection.execute(text(keep), {"ids": ids["FAILURE"], "payload": json.dumps([REPORT]).encode()})
    yield ids
    with engine_of.begin() as connection:
        every = {"ids": [one for those in ids.values() for one in those]}
        connection.execute(text("DELETE FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))"), every)
        connection.execute(text("DELETE FROM report_scores WHERE task_id = ANY(CAST(:ids AS uuid[]))"), every)


def test_what_matches_the_filters_is_replayed_or_cancelled_together(
    browser: Browser, platform: Platform, old_tasks: dict[str, list[str]]
) -> None:
    filters = {"model": "report_scorer", "submitted_before": "2020-01-03T00:00:00Z", "client": "bulk"}
    page = browser.page(f"/console/tasks?{urlencode({**filters, 'status': 'FAILURE'})}")
    assert "Replay what matches All 120 of them" in page.text
    assert "what matches" not in browser.page(f"/console/tasks?{urlencode({**filters, 'status': 'SUCCESS'})}").text
    wrong = browser.post("/console/tasks/replay", {**filters, "status": "SUCCESS"})
    assert (wrong.status_code, "Must be FAILURE here" in Page(wrong.text).text) == (422, True)
    keyed = browser.post("/console/tasks/replay", {**filters, "status": "FAILURE", "key": "r-1"})
    assert (keyed.status_code, "Open the task itself" in Page(keyed.text).text) == (422, True)
    answer = browser.post("/console/tasks/replay", {**filters, "status": "FAILURE"})
    assert (answer.status_code, answer.headers["location"].startswith("/console/job/")) == (303, True)
    job = answer.headers["location"]
    eventually(lambda: "DONE 120 of 120 tasks wait again" in browser.page(job).text)
    assert "left alone 0" in browser.page(job).text
    for task_id in old_tasks["FAILURE"]:
        assert platform.finished(task_id)["status"] == "SUCCESS"
    answer = browser.post("/console/tasks/cancel", {**filters, "status": "PENDING"})
    eventually(lambda: "DONE 120 of 120 tasks cancelled" in browser.page(answer.headers["location"]).text)
    assert {platform.finished(task_id)["status"] for task_id in old_tasks["PENDING"]} == {"REVOKED"}


def test_a_bulk_job_is_shown_live_and_stopped_from_its_page(database_url: str, redis_url: str, tmp_path: Path) -> None:
    owner = connect(database_url)
    with owner.begin() as connection:
        add = """INSERT INTO tasks (id, model, status, n_inputs)
            SELECT gen_random_uuid(), 'report_scorer', 'PENDING', 1 FROM generate_series(1, 1500)"""
        connection.execute(text(add))
    owner.dispose()
    with handler(database_url, redis_url, tmp_path) as alone, Browser(alone.url) as browser:  # nobody advances it
        page = browser.page("/console/tasks?status=PENDING")
        assert "Cancel what matches All of them, up to 100,000, the newest first." in page.text
        job = browser.post("/console/tasks/cancel", {"status": "PENDING"}).headers["location"]
        page = browser.page(job)
        assert "RUNNING 0 of 1,500 tasks cancelled" in page.text
        assert "waiting 1,500" in page.text
        assert page.of("div", "data-live") == [job.replace("/console/job", "/console/live/job")]
        assert "Reload the page to see how far it is" in page.text, "without script"
        answer = browser.post(f"{job}/cancel")
        assert (answer.status_code, answer.headers["location"]) == (303, job)
        page = browser.page(job)
        assert "CANCELLED 0 of 1,500 tasks cancelled" in page.text
        assert "not looked at 1,500" in page.text
        assert not page.of("div", "data-live")


def test_a_model_shows_its_versions_fields_and_events(browser: Browser) -> None:
    seen = browser.page("/console/models/report_scorer").text
    for words in ("1.0.0", "live", "popularity", "MSG, PRF", "roc auc", "promoted", "Probability that the report"):
        assert words in seen, words
    assert browser.get("/console/models/nobody").status_code == 404


def test_a_form_scores_an_input_and_shows_the_commands_that_do_the_same(browser: Browser) -> None:
    form = {name: str(value) for name, value in REPORT.items()}
    page = Page(browser.post("/console/try/report_scorer", form).text)
    assert re.search(r"score ?0\.\d+", page.text)
    figures = on_disk("report_scorer")[1].evaluation["model"]
    assert f"did not see: roc auc {figures['roc_auc']:.3f}, average precision" in page.text, "how good the score is"
    (line,) = re.findall(r"-d '(\[.*?\])'", page.text)
    assert json.loads(line) == [REPORT]
    assert "from millrace_client import Client" in page.text


def test_a_form_names_the_fault_at_its_field_and_keeps_what_was_written(browser: Browser) -> None:
    form = {name: str(value) for name, value in REPORT.items()} | {"popularity": "9", "profile_rating": "x"}
    answer = browser.post("/console/try/report_scorer", form)
    page = Page(answer.text)
    assert answer.status_code == 422
    wrong = [attributes for tag, attributes in page.tags if attributes.get("aria-invalid")]
    assert sorted(str(one["name"]) for one in wrong) == ["popularity", "profile_rating"]
    assert {str(one.get("value")) for one in wrong} == {"9", "x"}


def test_a_file_is_scored_without_script_and_comes_back_with_its_scores(browser: Browser) -> None:
    answer = browser.upload("/console/try/report_scorer/file", "reports.csv", FILE)
    assert answer.status_code == 303, answer.text
    job = answer.headers["location"]
    eventually(lambda: "DONE" in browser.page(job).text)
    page = browser.page(job)
    assert "3 of 3 rows" in page.text
    scored = browser.get(f"{job}/results/csv")
    assert scored.headers["content-disposition"].startswith("attachment")
    lines = scored.text.splitlines()
    assert lines[0].startswith("row,abuse_type")
    assert [line.partition(",")[0] for line in lines[1:]] == ["1", "3"]
    assert '"row":2' in browser.get(f"{job}/rejects").text
    assert browser.get(f"{job}/results/exe").status_code == 404
    assert job in browser.page("/console/try/report_scorer").html


def test_a_file_as_the_body_needs_no_form(browser: Browser) -> None:
    headers = {"Origin": browser.url, "Content-Type": "text/csv", "X-Part": "1"}
    sent = browser.client.post("/console/try/report_scorer/file", content=FILE, headers=headers)
    assert (sent.status_code, sent.text[:13]) == (200, "/console/job/")
    empty = browser.upload("/console/try/report_scorer/file", "empty.csv", b"")
    assert empty.status_code == 422
    assert "No file was chosen" in Page(empty.text).text


def test_a_live_part_comes_as_a_stream_and_alone(browser: Browser, platform: Platform) -> None:
    with browser.client.stream("GET", "/console/live/now", headers={"Accept": "text/event-stream"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        first = next(line for line in stream.iter_lines() if line.startswith("data: "))
    assert "Throughput" in json.loads(first.removeprefix("data: "))
    assert "Throughput" in browser.get("/console/live/now").text
    task_id = platform.submit(REPORT)
    with browser.client.stream("GET", f"/console/live/task/{task_id}", headers={"Accept": "text/event-stream"}) as told:
        lines = list(told.iter_lines())  # it ends with the task
    assert "event: ended" in lines
    assert "SUCCESS" in [line for line in lines if line.startswith("data: ")][-2]


def test_a_stream_says_that_postgresql_is_away_and_goes_on_when_it_is_back(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    address = make_url(database_url)
    assert address.port is not None
    proxy = Proxy(address.port)
    behind = address.set(port=proxy.port).render_as_string(hide_password=False)
    with handler(behind, redis_url, tmp_path) as alone:
        with alone.client.stream("GET", "/console/live/now", headers={"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            next(line for line in lines if "Throughput" in line)
            with proxy.cut():
                told = json.loads(next(line for line in lines if "answers late" in line).removeprefix("data: "))
            assert "see above" in told
            next(line for line in lines if line.startswith("data: ") and "answers late" not in line)
        with alone.client.stream("GET", "/console/live/workers", headers={"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("data: "))
            with proxy.cut():
                next(line for line in lines if line == "event: late")
            next(line for line in lines if line.startswith('data: "'))
    assert "Traceback" not in "".join(file.read_text() for file in tmp_path.iterdir() if file.is_file())
    proxy.stop()


def test_workers_say_what_they_have_loaded(browser: Browser) -> None:
    seen = browser.page("/console/workers").text
    assert "report_scorer 1.0.0" in seen
    assert "idle" in seen or "working" in seen
    assert re.search(r"\d MiB", seen)


def test_keys_are_listed_and_none_can_be_read(closed: Platform, closed_engine: Engine, new_client: NewClient) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "console-admin", Role.ADMIN)
    with Browser(closed.url) as browser:
        seen = browser.sign_in(key).page("/console/keys")
    assert "console-admin" in seen.text
    assert str(keys.id_in(key)) in seen.html
    assert key not in seen.html
    assert keys.digest(key).hex() not in seen.html


def test_the_version_that_an_operator_promotes_is_in_the_events_with_his_name(
    closed: Platform, closed_engine: Engine
) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "console-operator", Role.OPERATE)
        connection.execute(text(_CANDIDATE))
    with Browser(closed.url) as browser:
        browser.sign_in(key)
        path = "/console/models/report_scorer"
        assert (
            browser.post(f"{path}/promote", {"version": "console-2", "reason": "a trial", "force": "true"}).status_code
            == 303
        )
        assert browser.post(f"{path}/rollback", {"reason": "it was one"}).status_code == 303
        seen = browser.page(path).text
        assert browser.post(f"{path}/promote", {"version": "no-such"}).status_code == 404
    for words in ("a trial", "it was one", "console-operator", "rolled_back"):
        assert words in seen, words


def test_a_models_page_shows_how_good_it_is_to_those_who_may_know(closed: Platform, closed_engine: Engine) -> None:
    with closed_engine.begin() as connection:
        lead, submitter = (keys.create(connection, f"quality-{role}", role) for role in (Role.OPERATE, Role.SUBMIT))
        for statement in _QUALITY.split(";"):
            connection.execute(text(statement.replace(":", r"\:")))
    shown = (
        "0.812 (0.750 to 0.861)",
        "0.641 (too few)",
        "worse in the dark",
        "Drift on 2026-01-31",
        "distribution",
        "fail; excepted: hour=3",
    )
    for key, sees in ((lead, True), (submitter, False)):
        with Browser(closed.url) as browser:
            browser.sign_in(key)
            seen = browser.page("/console/models/report_scorer").text
            assert [words in seen for words in shown] == [sees] * len(shown), key


_QUALITY = """
INSERT INTO evaluations (model, grouping, group_name, predictions, outcomes, expected, mature, reviewed, kinds, naive,
    weighted)
VALUES ('report_scorer', 'all', 'all', 20000, 1000, 1040, true, 980, '{"abuse": 200, "not_abuse": 800}',
    '{"auc": {"value": 0.812, "low": 0.75, "high": 0.861}}', '{"auc": {"value": 0.641, "low": null, "high": null}}');
INSERT INTO gate_reports (model, version, against, verdict, report)
VALUES ('report_scorer', '1.0.0', '0.9', 'fail', '{"reasons": ["worse in the dark"], "excepted": ["hour=3"]}');
INSERT INTO drift (model, version, day, column_name, against, rows, reference_rows, psi, band, jensen_shannon, missing,
    unseen, found, findings)
VALUES ('report_scorer', '1.0.0', '2026-01-31', 'report_text_len', 'week', 5000, 35000, 0.3, 0.01, 0.1, 0, 0, true,
    ARRAY['distribution'])
"""

_CANDIDATE = """
INSERT INTO model_versions (model, version, runtime, schema, manifest, evaluation, digest, created_by)
SELECT model, 'console-2', runtime, schema, manifest, evaluation, '\\x00', 'test' FROM model_versions
WHERE model = 'report_scorer' AND state = 'live'
"""


def test_an_unknown_page_of_the_console_is_a_problem_like_any_other(browser: Browser) -> None:
    answer: httpx.Response = browser.get("/console/nowhere")
    assert answer.status_code == 404
    assert browser.client.post("/console/tasks", headers={"Origin": browser.url}).status_code == 405
