"""Request ids, the access log, traces and the profiler, on a platform that has all of them on."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.collecting import Collected, collecting
from tests.conftest import Servers, empty_redis, new_database
from tests.running import REPORT, Platform, eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collected() -> Iterator[Collected]:
    with collecting() as collected:
        yield collected


@pytest.fixture(scope="module")
def watched(
    servers: Servers, template: str, collected: Collected, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    settings = {"LOG_FORMAT": "json", "ACCESS_LOG": "on", "PROFILER": "on", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    logs = tmp_path_factory.mktemp("watched")
    urls = new_database(servers, template), empty_redis(servers, 13)
    with Platform(*urls, logs, **settings, TRACING_ENDPOINT=collected.url) as platform:
        yield platform


def lines(platform: Platform, event: str, **fields: object) -> list[dict[str, Any]]:
    """Return the lines of the handler's and the worker's logs with this event and these fields."""
    found = [
        json.loads(line)
        for program in (platform.handler, platform.worker)
        for line in program.log.read_text().splitlines()
        if line.startswith("{")
    ]
    return [line for line in found if line["event"] == event and fields.items() <= line.items()]


@pytest.mark.parametrize(
    "path", ["/heartbeat", "/task/01a1fbff-6bc2-77a0-9580-9b6d17fbabd4", "/nowhere", "/v2/models/x"]
)
def test_a_request_s_id_goes_back_and_into_the_log(platform: Platform, path: str) -> None:
    given = platform.client.get(path, headers={"X-Request-ID": "from-the-caller.1"})
    assert given.headers.get_list("x-request-id") == ["from-the-caller.1"]
    first, second = (platform.client.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", first)


@pytest.mark.parametrize("bad", ["a" * 129, "two words", "a;b", "ä", ""])
def test_an_id_that_is_not_plain_is_replaced(platform: Platform, bad: str) -> None:
    given = platform.client.get("/heartbeat", headers={"X-Request-ID": bad.encode()})
    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", given.headers["x-request-id"])


def test_the_access_log_tells_which_request_about_which_task_and_no_secret(watched: Platform) -> None:
    headers = {"X-Request-ID": "told-1"}
    accepted = watched.client.post("/submit?deadline=600", json=[REPORT | {"report_id": "s3cret"}], headers=headers)
    task_id = accepted.json()["task_id"]
    watched.finished(task_id)
    watched.client.get("/tasks?model=s3cret_query")
    watched.client.get("/s3cret-path")
    (line,) = eventually(lambda: lines(watched, "request_answered", request_id="told-1"))
    assert line.items() >= {"route": "/submit", "method": "POST", "status": 202, "task_id": task_id}.items()
    eventually(lambda: lines(watched, "request_answered", route="/task/{task_id}", task_id=task_id))
    eventually(lambda: lines(watched, "request_answered", route="/tasks"))
    eventually(lambda: lines(watched, "request_answered", route="unknown", status=404))
    assert "s3cret" not in watched.handler.log.read_text()
    (scored,) = eventually(lambda: [line for line in lines(watched, "chunk_scored") if task_id in line["task_ids"]])
    assert "task_id" not in scored


def test_requests_are_not_logged_unless_asked_for(platform: Platform) -> None:
    platform.client.get("/heartbeat")
    assert "request_answered" not in platform.handler.log.read_text()


def test_one_trace_goes_from_the_request_to_the_transaction(watched: Platform, collected: Collected) -> None:
    answer = watched.client.post("/predict", json=REPORT, headers={"traceparent": PARENT})
    assert answer.status_code == 200
    names = {"POST /predict", "commit", "score report_scorer", "predict", "finish"}
    eventually(lambda: names <= collected.of(TRACE).keys())
    spans = collected.of(TRACE)
    assert {spans[name][0] for name in ("POST /predict", "commit")} == {"millrace-handler"}
    assert {spans[name][0] for name in ("score report_scorer", "finish")} == {"millrace-worker"}
    parent = {name: span.parent_span_id for name, (_, span) in spans.items()}
    request, score = spans["POST /predict"][1].span_id, spans["score report_scorer"][1].span_id
    assert parent["POST /predict"].hex() == PARENT.split("-")[2]
    assert parent["commit"] == parent["score report_scorer"] == request
    assert parent["predict"] == parent["finish"] == score
    assert lines(watched, "request_answered", trace_id=TRACE)
    assert lines(watched, "chunk_scored", trace_id=TRACE)


def test_a_chunk_of_several_tasks_links_to_the_trace_of_each(watched: Platform, collected: Collected) -> None:
    def links() -> set[str]:
        return {
            link.trace_id.hex()
            for service, span in collected.spans
            if span.name == "score report_scorer" and len(span.links) > 1
            for link in span.links
        }

    def submit(number: int) -> str:
        trace = f"{number:032x}"
        headers = {"traceparent": f"00-{trace}-{number:016x}-01"}
        accepted = httpx.post(f"{watched.url}/submit", json=[REPORT], headers=headers)
        assert accepted.status_code == 202
        return trace

    traces: set[str] = set()
    for round_ in range(1, 20):
        with ThreadPoolExecutor(24) as clients:
            traces |= set(clients.map(submit, range(round_ * 100, round_ * 100 + 48)))
        if links():
            break
    found = eventually(links)
    assert found <= traces


def test_the_profiler_answers_with_where_the_time_went(watched: Platform) -> None:
    profile = watched.client.get("/models", headers={"X-Profile": "1"})
    assert profile.headers["content-type"].startswith("text/html")
    assert "pyinstrument" in profile.text
    assert watched.client.get("/models").headers["content-type"] == "application/json"
    assert lines(watched, "profiler_on")


def test_the_profiler_is_off_unless_asked_for(platform: Platform) -> None:
    assert platform.client.get("/models", headers={"X-Profile": "1"}).headers["content-type"] == "application/json"


def test_nothing_is_exported_or_prepared_for_it_while_tracing_is_off() -> None:
    program = (
        "import sys, handler.app, worker.celery.app; from telemetry import tracing as t;"
        "assert not t.configure(t.TracingSettings(), 'x'); assert t.current() is None;"
        "t.span('a').__enter__(); t.joined('b', ['c']).__enter__();"
        "names = ('opentelemetry.sdk.trace', 'opentelemetry.exporter');"
        "assert not [name for name in sys.modules if name.startswith(names)], 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
