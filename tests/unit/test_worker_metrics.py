"""What several processes count in one file is added up, by the processes that live and by those that are gone."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from uuid_utils.compat import uuid7

from tests.running import ROOT
from worker.metrics import PROCESS, SCORES, MetricsFile, WorkerCollector
from worker.scoring.metrics import observe, submitted

COUNTING = """
import sys, time
from worker.metrics import PROCESS, MetricsFile
path, version = sys.argv[1:]
file = MetricsFile(open(path, "r+b"))
slot = file.claim()
slot.row(*PROCESS, ()).numbers("ready")[0] = 1
row = slot.row("m", version, ())
row.numbers("succeeded")[0] += 3
print("counted", flush=True)
time.sleep(3600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "metrics"
    path.touch()
    return path


@pytest.fixture
def file(path: Path) -> Iterator[MetricsFile]:
    with path.open("r+b") as opened:
        yield MetricsFile(opened)


@pytest.fixture
def collector(file: MetricsFile) -> WorkerCollector:
    return WorkerCollector(file)


def counting(path: Path, version: str = "1") -> "subprocess.Popen[str]":
    """Start a process that counts three tasks, and wait until it has."""
    process = subprocess.Popen([sys.executable, "-c", COUNTING, str(path), version], cwd=ROOT, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def sample(collector: WorkerCollector, name: str, **labels: str) -> float:
    samples = [sample for metric in collector.collect() for sample in metric.samples]
    (value,) = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
    return value


def test_a_killed_process_leaves_its_counts_and_is_not_ready(path: Path, collector: WorkerCollector) -> None:
    first, second = counting(path), counting(path)
    assert sample(collector, "millrace_worker_processes", state="ready") == 2
    end(first)
    assert sample(collector, "millrace_worker_processes", state="ready") == 1
    assert sample(collector, "millrace_tasks_ended_total", status="SUCCESS") == 6
    end(second)


def test_the_process_that_replaces_another_counts_on_in_its_slot(
    path: Path, file: MetricsFile, collector: WorkerCollector
) -> None:
    for replaced in range(3):
        end(counting(path))
        assert sample(collector, "millrace_tasks_ended_total", status="SUCCESS") == 3 * (replaced + 1)
        assert len(file.used_rows()[0]) == 2


def test_counts_of_another_version_are_kept_apart(path: Path, collector: WorkerCollector) -> None:
    for version in ("1", "2"):
        end(counting(path, version))
    assert sample(collector, "millrace_predictions_total", version="1") == 0
    assert sample(collector, "millrace_predictions_total", version="2") == 0
    assert sample(collector, "millrace_tasks_ended_total", status="SUCCESS") == 6


def test_a_file_that_nobody_counts_in_has_no_models(collector: WorkerCollector) -> None:
    labels = [sample.labels for metric in collector.collect() for sample in metric.samples]
    assert not [one for one in labels if "model" in one]


@pytest.mark.parametrize(
    "values", [[], [0.5], [0.0, 0.01, 0.010001, 1.0, 2.0, -1.0, 0.99], list(np.linspace(0, 1.5, 1_000))]
)
def test_observing_many_values_is_observing_each(
    file: MetricsFile, collector: WorkerCollector, values: list[float]
) -> None:
    slot = file.claim()
    slot.row(*PROCESS, ())
    row = slot.row("m", "1", ())
    numbers = {"scores": np.asarray(row.numbers("scores"))}
    observe(numbers, "scores", np.array(values, dtype=np.float64))
    registry = CollectorRegistry()
    histogram = Histogram("millrace_scores", "of a model", ["model"], buckets=SCORES, registry=registry).labels("m")
    for value in values:
        histogram.observe(value)
    theirs = [line for line in generate_latest(registry).decode().splitlines() if "_bucket" in line or "_count" in line]
    ours = CollectorRegistry()
    ours.register(collector)
    lines = generate_latest(ours).decode().splitlines()
    assert [line for line in lines if line.startswith(("millrace_scores_bucket", "millrace_scores_count"))] == theirs


def test_an_id_says_when_it_was_made() -> None:
    now = time.time()
    assert submitted([uuid7(), uuid7()]).tolist() == pytest.approx([now, now], abs=5)
