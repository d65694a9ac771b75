"""Measures how long the handler takes for each page of the console while very much is stored."""

import re
import time
from collections.abc import Iterator, Mapping
from statistics import median
from urllib.parse import urlencode

import httpx2
from sqlalchemy import Engine, text

from bench.filling import fill, fill_week
from bench.site import Servers, millrace
from bench.studies import StudyRow, Tell
from store.engine import connect
from store.job_tables import JobKind
from store.states import FAILURE, SUCCESS

MODEL = "report_scorer"
WANTED = 300.0
"""Milliseconds that a page may take."""


def pages(servers: Servers, predictions: int, tasks: int, times: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield what each page takes, in ms, the slowest last."""

    def prepare(url: str) -> None:
        begin = time.monotonic()
        fill(url, predictions, tasks)
        fill_week(url)
        tell(f"{predictions:,} predictions of {tasks:,} tasks stored in {time.monotonic() - begin:.0f} s")

    with millrace(servers, "pages", prepare) as site, httpx2.Client(timeout=60) as browser:
        engine = connect(site.environment["DATABASE_URL"])
        browser.base_url = httpx2.URL(f"http://{site.target.host}:{site.target.port}")
        browser.headers["accept"] = "text/html"
        addresses = _addresses(browser, engine)
        engine.dispose()
        took = {name: [_look(browser, path) for _ in range(times)] for name, path in addresses.items()}
    slow = [name for name, values in took.items() if max(values) > WANTED]
    tell(f"Pages that took more than {WANTED:.0f} ms: {', '.join(slow) or 'none'}")
    for name, values in sorted(took.items(), key=lambda one: max(one[1])):
        row: StudyRow = {"page": name, "first, ms": round(values[0], 1), "median": round(median(values), 1)}
        yield {**row, "longest": round(max(values), 1)}


def _look(browser: httpx2.Client, path: str) -> float:
    begin = time.perf_counter()
    answer = browser.get(path)
    took = (time.perf_counter() - begin) * 1000
    answer.raise_for_status()
    return took


def _addresses(browser: httpx2.Client, engine: Engine) -> Mapping[str, str]:
    """Return every page, and those of the filters that find much, little and nothing."""
    with engine.connect() as connection:
        one, failed, large, old = (
            connection.scalar(text(f"SELECT id FROM tasks WHERE model = '{MODEL}' AND {which} LIMIT 1"))  # noqa: S608
            for which in (
                f"status = '{SUCCESS}' AND client = 'client-2' ORDER BY submitted_at DESC",
                f"status = '{FAILURE}' ORDER BY submitted_at DESC",
                "n_inputs > 1",
                f"status = '{SUCCESS}' AND submitted_at < now() - interval '23 months'",
            )
        )
    made = browser.post("/jobs", json={"kind": JobKind.REPLAY, "filter": {"status": FAILURE, "client": "client-0"}})
    made.raise_for_status()
    _begin_reviews(browser)
    tasks: dict[str, dict[str, str]] = {
        "all": {},
        "that failed": {"status": FAILURE},
        "that succeeded, of a model": {"status": SUCCESS, "model": MODEL},
        "of a client": {"client": "client-7"},
        "of a client that has none": {"client": "nobody"},
        "before a time": {"submitted_before": "2025-06-01T00:00:00Z"},
        "from an old one on": {"before": str(old)},
        "with a key": {"model": MODEL, "key": "r-77"},
    }
    return {
        "/": "/",
        "/ (its live part)": "/console/live/now",
        **{f"tasks {what}": f"/console/tasks?{urlencode(query)}" for what, query in tasks.items()},
        "a task of one": f"/console/task/{one}",
        "a task of one, old": f"/console/task/{old}",
        "a task of many": f"/console/task/{large}",
        "a task that failed": f"/console/task/{failed}",
        "replays and cancels": "/console/changes",
        "a job": f"/console/job/{made.json()['job_id']}",
        "models": "/console/models",
        "a model": f"/console/models/{MODEL}",
        "triage desk": f"/console/triage/{MODEL}",
        "triage list": f"/console/triage/{MODEL}/list",
        "triage list, filtered": f"/console/triage/{MODEL}/list?popularity.ge=5&abuse_type=PRF",
        "triage list, nothing fits": f"/console/triage/{MODEL}/list?lifetime_matches_created.ge=1000",
        "triage lead": f"/console/triage/{MODEL}/lead",
        "try it": f"/console/try/{MODEL}",
        "workers": "/console/workers",
        "keys": "/console/keys",
    }


def _begin_reviews(browser: httpx2.Client) -> None:
    """Give the desk a reviewer who holds reports."""
    desk, forms = f"/console/triage/{MODEL}", {"origin": str(browser.base_url).rstrip("/")}
    for path, form in ((f"{desk}/reviewer", {"reviewer": "bench"}), (f"{desk}/next", {})):
        answer = browser.post(path, data=form, headers=forms)
        if answer.is_error:
            raise SystemExit(f"POST {path}: {answer.status_code}: {re.sub('<[^>]*>', ' ', answer.text)[:500]}")
