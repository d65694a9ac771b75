"""From what a run has seen to its figures: one JSON document, the only thing that pages and comparisons read."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from bench.executor import Run, Seen
from bench.kinds import kind
from bench.outcome import LoadTask, task_id
from bench.processes import ProcessUsage
from store.states import SUCCESS

FORMAT = "millrace-run-1"

HIGHEST_US = 3_600_000_000
DIGITS = 3

POINTS = (50.0, 90.0, 99.0, 99.9, 100.0)
NAMES = ("p50", "p90", "p99", "p99.9", "max")

LATE_MS = 20.0
"""A generator that wakes later than this for one request in a hundred has too little CPU for its schedule."""

BINS = 120
REFUSALS = frozenset({429, 503})
FINAL_GOOD = SUCCESS

SERIES = {
    "accept": "From the moment a request was due until its 202",
    "answer": "From the moment a request was due until its 200 with the score",
    "client": "From the moment a request was due until the client knew that its task had ended",
    "queue_wait": "From accepted to taken by a worker (the platform's clock)",
    "scoring": "From taken by a worker to stored (the platform's clock)",
    "submit_to_score": "From accepted to stored (the platform's clock)",
}


def result(
    run: Run, tasks: Sequence[LoadTask] | None, usage: Mapping[str, ProcessUsage], made: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the run's document. Without `tasks` (a target that has no list of them) it says nothing of scoring."""
    seen = sorted(run.seen, key=lambda request: request.due)
    accepted = [request for request in seen if 200 <= request.status < 300]
    listed = {task.id: task for task in tasks or ()}
    ids = [task_id(request.body) for request in accepted if kind(request.kind).answers == "task"]
    counts = {
        "requests": len(seen),
        "inputs": sum(request.size for request in seen),
        "accepted": len(accepted),
        "refused": sum(request.status in REFUSALS for request in seen),
        "failed": sum(not 200 <= request.status < 300 and request.status not in REFUSALS for request in seen),
        "tasks": Counter(task.status for task in listed.values()),
        "lost": sum(one not in listed for one in ids) if tasks is not None else None,
        "causes": Counter(_cause(request) for request in seen if not 200 <= request.status < 300).most_common(8),
    }
    return {
        "format": FORMAT,
        "title": run.title,
        "schedule": {"seconds": run.seconds, "open_loop": run.open_loop, **(made or {})},
        "counts": counts,
        "latency_ms": {name: spread(values) for name, values in _latencies(accepted, tasks or ()).items() if values},
        "throughput": _throughput(run, accepted, tasks),
        "generator": _generator(run),
        "processes": {
            name: {"cpu_seconds": round(used.cpu_seconds, 3), "peak_mb": round(used.peak_bytes / 1e6, 1)}
            for name, used in usage.items()
        },
        "timeline": _timeline(run, seen, tasks),
    }


def spread(seconds: Iterable[float]) -> dict[str, Any]:
    """Return percentiles in milliseconds, and the histogram (HdrHistogram, base64) from which others follow."""
    histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
    for value in seconds:
        histogram.record_value(min(max(1, round(value * 1e6)), HIGHEST_US))
    figures: dict[str, Any] = {
        name: histogram.get_value_at_percentile(point) / 1000 for name, point in zip(NAMES, POINTS, strict=True)
    }
    return {**figures, "count": histogram.get_total_count(), "histogram": histogram.encode().decode()}


def _latencies(accepted: Sequence[Seen], tasks: Sequence[LoadTask]) -> dict[str, list[float]]:
    ended = [task for task in tasks if task.status == FINAL_GOOD and task.started and task.finished]
    return {
        "accept": [request.answered - request.due for request in accepted if request.status == 202],
        "answer": [request.answered - request.due for request in accepted if request.status == 200],
        "client": [request.ended - request.due for request in accepted if request.ended is not None],
        "queue_wait": [(task.started or 0) - task.submitted for task in ended],
        "scoring": [(task.finished or 0) - (task.started or 0) for task in ended],
        "submit_to_score": [(task.finished or 0) - task.submitted for task in ended],
    }


def _throughput(run: Run, accepted: Sequence[Seen], tasks: Sequence[LoadTask] | None) -> dict[str, float | None]:
    """Rates from the first request to the last event of its sort; a closed loop's drain counts as time, too."""
    answered = max((request.answered for request in accepted), default=0.0)
    ends = [task for task in tasks or () if task.status == FINAL_GOOD and task.finished]
    last = max((task.finished or 0 for task in ends), default=0.0) - run.started
    return {
        "accepted_per_s": round(len(accepted) / answered, 2) if answered else 0.0,
        "tasks_scored_per_s": round(len(ends) / last, 2) if ends and last > 0 else None,
        "inputs_scored_per_s": round(sum(task.n_inputs for task in ends) / last, 2) if ends and last > 0 else None,
        "seconds_until_scored": round(last, 3) if ends else None,
    }


def _generator(run: Run) -> dict[str, Any]:
    """Say how late the generator was, apart from how late the server was."""
    late = spread(request.woken - request.due for request in run.seen) if run.open_loop and run.seen else None
    queued = [request.sent - request.woken for request in run.seen]
    notes = []
    if late and late["p99"] > LATE_MS:
        notes.append(
            f"The generator was over its capacity: 1 % of the requests went out {late['p99']:.0f} ms late or more. "
            "Latencies contain that; lower the rate or give the generator a machine of its own."
        )
    if queued and np.percentile(queued, 99) * 1000 > LATE_MS:
        notes.append(
            f"All {run.connections} connections were busy at times, and requests waited for one; "
            "latencies contain that. With more connections the server would have seen more at once."
        )
    return {
        "cpu_seconds": round(run.cpu_seconds, 3),
        "cores": round(run.cpu_seconds / run.took, 3) if run.took else 0.0,
        "late_ms": late and {name: late[name] for name in NAMES},
        "connections": run.connections,
        "notes": notes,
    }


def _timeline(run: Run, seen: Sequence[Seen], tasks: Sequence[LoadTask] | None) -> dict[str, Any]:
    """Count what happened in each of up to 120 equal spans of time, and what waited at the end of each."""
    ends = [task.finished - run.started for task in tasks or () if task.finished]
    over = max([run.seconds, *(request.answered for request in seen), *ends])
    width = max(0.25, over / BINS)
    edges = np.arange(0, over + width, width)

    def rate(times: Iterable[float], weights: Sequence[int] | None = None) -> list[float]:
        counted, _ = np.histogram(list(times), edges, weights=weights)
        return [round(float(count), 3) for count in counted / width]

    good = [request for request in seen if 200 <= request.status < 300]
    bad = [request for request in seen if not 200 <= request.status < 300]
    lines: dict[str, Any] = {
        "seconds": [round(float(edge), 3) for edge in edges[1:]],
        "due_per_s": rate(request.due for request in seen),
        "sent_per_s": rate(request.sent for request in seen),
        "accepted_per_s": rate(request.answered for request in good),
        "refused_per_s": rate(request.answered for request in bad if request.status in REFUSALS),
        "failed_per_s": rate(request.answered for request in bad if request.status not in REFUSALS),
        "p50_ms": _by_span(good, edges, 50),
        "p99_ms": _by_span(good, edges, 99),
    }
    if tasks is not None:
        done = [task for task in tasks if task.finished]
        sizes = [task.n_inputs for task in done]
        entered = np.histogram([t.submitted - run.started for t in tasks], edges, weights=[t.n_inputs for t in tasks])
        left = np.histogram([(t.finished or 0) - run.started for t in done], edges, weights=sizes)
        lines["inputs_scored_per_s"] = rate(((t.finished or 0) - run.started for t in done), sizes)
        lines["backlog_inputs"] = [max(0, int(n)) for n in np.cumsum(entered[0]) - np.cumsum(left[0])]
    return lines


def _by_span(good: Sequence[Seen], edges: Any, point: float) -> list[float | None]:
    """Latency by the time at which the request was due: a stall shows where it began."""
    due = np.array([request.due for request in good])
    took = np.array([request.answered - request.due for request in good])
    spans = np.digitize(due, edges[1:-1]) if len(good) else due
    return [
        round(float(np.percentile(took[spans == span], point)) * 1000, 3) if np.any(spans == span) else None
        for span in range(len(edges) - 1)
    ]


def _cause(request: Seen) -> str:
    if request.status == 0:
        return request.body.decode(errors="replace")
    try:
        return f"{request.status} {json.loads(request.body)['type'].rpartition(':')[2]}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(request.status)
