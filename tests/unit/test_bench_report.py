"""Figures are counted from what was seen, and the page that shows them needs nothing else."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from bench.comparison import compare
from bench.executor import Run, Seen
from bench.outcome import LoadTask
from bench.page import page
from bench.processes import ProcessUsage
from bench.result import result, spread
from bench.yardstick import MEASURES, ratios

START = 1_800_000_000.0


def seen(number: int, due: float, took: float, status: int = 202, size: int = 1, kind: str = "submit") -> Seen:
    return Seen(kind, size, due, due, due, due + took, status, json.dumps({"task_id": f"{number:03}"}).encode())


def task(
    number: int, submitted: float, waited: float, scored: float, size: int = 1, status: str = "SUCCESS"
) -> LoadTask:
    begin = START + submitted
    return LoadTask(f"{number:03}", status, size, begin, begin + waited, begin + waited + scored)


def a_run(requests: list[Seen]) -> Run:
    return Run("A <load>", 10, START, 8, requests, cpu_seconds=1.0, took=10.0)


@pytest.fixture
def document() -> dict[str, Any]:
    """100 requests of 10 inputs in 10 s: accepted in 10 ms, taken 100 ms later, scored in 5 ms."""
    requests = [seen(number, number / 10, 0.01, size=10) for number in range(100)]
    tasks = [task(number, number / 10 + 0.01, 0.1, 0.005, size=10) for number in range(100)]
    return result(a_run(requests), tasks, {"worker": ProcessUsage(1.5, 200_000_000)})


def test_percentiles_are_those_of_the_values_within_a_thousandth() -> None:
    values = np.random.default_rng(1).lognormal(-4, 1, 50_000)
    figures = spread(values)
    for name, point in (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("max", 100)):
        assert figures[name] == pytest.approx(np.percentile(values, point) * 1000, rel=0.002)
    kept = HdrHistogram.decode(figures["histogram"])
    assert kept.get_value_at_percentile(75) == pytest.approx(np.percentile(values, 75) * 1e6, rel=0.002)


def test_each_part_of_the_way_has_its_own_latency(document: dict[str, Any]) -> None:
    middle = {name: figures["p50"] for name, figures in document["latency_ms"].items()}
    assert middle == pytest.approx({"accept": 10, "queue_wait": 100, "scoring": 5, "submit_to_score": 105}, rel=0.01)


def test_rates_are_by_the_time_until_the_last(document: dict[str, Any]) -> None:
    assert document["throughput"]["accepted_per_s"] == pytest.approx(100 / 9.91, rel=0.001)
    assert document["throughput"]["inputs_scored_per_s"] == pytest.approx(1000 / 10.015, rel=0.001)


def test_the_backlog_is_what_was_accepted_and_not_yet_scored() -> None:
    requests = [seen(number, 0, 0.01, size=10) for number in range(3)]
    tasks = [task(number, 0, 1 + number, 0.0, size=10) for number in range(3)]
    lines = result(a_run(requests), tasks, {})["timeline"]
    at = dict(zip(lines["seconds"], lines["backlog_inputs"], strict=True))
    assert [at[0.75], at[1.75], at[2.75], at[3.75]] == [30, 20, 10, 0]


def test_a_task_that_was_accepted_and_is_not_there_is_lost() -> None:
    requests = [seen(number, 0, 0.01) for number in range(3)]
    counts = result(a_run(requests), [task(0, 0, 1, 1), task(2, 0, 1, 1, status="FAILURE")], {})["counts"]
    assert counts["lost"] == 1
    assert counts["tasks"] == {"SUCCESS": 1, "FAILURE": 1}


def test_a_run_of_which_nothing_was_accepted_has_a_document_and_a_page() -> None:
    requests = [seen(number, number, 0.01, status=503) for number in range(3)]
    shown = page(result(a_run(requests), [], {}))
    assert "<b>3</b>refused" in shown
    assert page(result(a_run([]), None, {}))


def test_the_document_is_json_again(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document)) == document


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action") and not (value or "").startswith("#"):
                self.outside.append(f"{tag} {name}={value}")


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(document: dict[str, Any]) -> None:
    shown = page(document)
    read = References()
    read.feed(shown)
    assert read.outside == []
    assert not {"script", "link", "iframe", "img"} & set(read.tags)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", shown)
    assert read.tags.count("svg") == 4
    assert "A &lt;load&gt;" in shown
    assert "A <load>" not in shown


def test_the_plots_of_a_page_do_not_share_ids(document: dict[str, Any]) -> None:
    shapes = re.findall(r'<clipPath id="([^"]+)"', page(document))
    assert shapes
    assert len(set(shapes)) == len(shapes)


def test_a_comparison_has_each_figure_and_the_second_as_a_multiple_of_the_first(document: dict[str, Any]) -> None:
    requests = [seen(number, number / 10, 0.02, size=10) for number in range(100)]
    slower = result(a_run(requests), None, {"worker": ProcessUsage(3.0, 200_000_000)})
    lines = {line.what: line for line in compare(document, slower)}
    assert lines["accept p50, ms"].ratio == pytest.approx(2, rel=0.01)
    assert lines["worker: CPU seconds"].ratio == 2
    assert lines["failed"].ratio is None, "nothing is no multiple of nothing"
    assert "submit to score p50, ms" not in lines, "B does not have it"


def test_a_ratio_says_how_many_times_better_we_are_whichever_way_better_is() -> None:
    theirs = [dict.fromkeys(MEASURES, 10.0)] * 3
    ours = [dict.fromkeys(MEASURES, value) for value in (20.0, 40.0, 5.0)]
    found = ratios(theirs, ours)
    assert (found["one"].middle, found["one"].lowest, found["one"].highest) == (2, 0.5, 4)
    assert (found["idle_p50"].middle, found["idle_p50"].lowest, found["idle_p50"].highest) == (0.5, 0.25, 2)
