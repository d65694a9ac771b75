"""What the handler counts of itself, and how Prometheus reads it.

Requests are counted in plain lists, which costs a microsecond of each; the library's own objects would take five. Only
the event loop writes them; the exporter's thread reads.
"""

import re
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from time import monotonic, perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handler import access, problems
from handler.backlog import Backlog
from store.accepting import Submission
from store.states import Priority

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds. An answer may be held for up to 60 (`Prefer: wait`)."""

STALE = 15.0
"""Seconds after which a backlog that could not be read again is no longer shown."""

ALARMING = ("backlog-full", "store-unavailable", "internal-error")
"""Kinds of problems that an alert asks for. They are told from the start: a series that begins at one has not increased
for Prometheus, so it would miss the first."""

UNKNOWN = "unknown"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Route:
    """The requests to one template of paths by one method."""

    def __init__(self, method: str, template: str, *, logged: bool) -> None:
        self._names = method, template
        self._logged = logged
        self.in_flight = 0
        self.ended: dict[int, list[float]] = {}
        """By status: how many took up to each of BOUNDS and longer, and last the sum of their seconds."""

    def end(self, status: int, seconds: float) -> None:
        """Count an answered request out, and log it where that is asked for."""
        self.in_flight -= 1
        counts = self.ended.get(status)
        if counts is None:
            counts = self.ended[status] = [0] * (len(BOUNDS) + 2)
        counts[bisect_left(BOUNDS, seconds)] += 1
        counts[-1] += seconds
        if self._logged:
            access.say(*self._names, status, seconds)


class Requests:
    """Requests by method, route and status."""

    def __init__(self, *, logged: bool) -> None:
        self._logged = logged
        self._routes: dict[tuple[str, str], Route] = {}

    def route(self, method: str, template: str) -> Route:
        key = method if method in _METHODS else "other", template
        return self._routes.get(key) or self._routes.setdefault(key, Route(*key, logged=self._logged))

    def collect(self) -> Iterator[Metric]:
        labels = ["method", "route", "status"]
        total = CounterMetricFamily("millrace_http_requests", "Requests answered", labels=labels)
        latency = HistogramMetricFamily(
            "millrace_http_request_duration_seconds", "Until the answer was sent, with what it was held", labels=labels
        )
        in_flight = GaugeMetricFamily("millrace_http_requests_in_flight", "Requests under way", labels=labels[:2])
        bounds = [*map(str, BOUNDS), "+Inf"]
        for key, route in list(self._routes.items()):
            in_flight.add_metric(key, route.in_flight)
            for status, counts in list(route.ended.items()):
                *slots, seconds = list(counts)
                cumulative = list(accumulate(slots))
                values = [*key, str(status)]
                total.add_metric(values, cumulative[-1])
                latency.add_metric(values, list(zip(bounds, cumulative, strict=True)), seconds)
        yield from (total, latency, in_flight)


class Counted:
    """An ASGI middleware that counts and names what FastAPI answers. (The fast lane does so by itself.)"""

    def __init__(self, app: ASGIApp, *, requests: Requests, template: Callable[[str], str]) -> None:
        self._app = app
        self._requests = requests
        self._template = template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = self._requests.route(scope["method"], self._template(scope["path"]))
        name = access.name(scope["headers"])
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], name]
            await send(message)

        route.in_flight += 1
        start = perf_counter()
        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if status:  # half an answer is out
                raise
            await problems.answer(Request(scope, receive), error)(scope, receive, noting)
        finally:
            route.end(status, perf_counter() - start)


def templates(routes: Iterable[Any]) -> Callable[[str], str]:
    """Return what finds a path's template: few of them, however many paths clients think of."""
    known: dict[str, re.Pattern[str]] = {route.path: route.path_regex for route in routes}
    open_ends = [(template, pattern) for template, pattern in known.items() if "{" in template]

    def template(path: str) -> str:
        if path in known and "{" not in path:
            return path
        return next((template for template, pattern in open_ends if pattern.match(path)), UNKNOWN)

    return template


class Meters(Collector):
    """Everything that this handler counts."""

    def __init__(self, registry: CollectorRegistry, *, access_log: bool = False) -> None:
        self.requests = Requests(logged=access_log)
        self._submitted: Tally[tuple[str, Priority]] = Tally()
        self._inputs: Tally[tuple[str, Priority]] = Tally()
        self.refused: Tally[str] = Tally(dict.fromkeys(ALARMING, 0))
        """Requests that got a problem for an answer, by its kind."""
        self.commit_seconds = Histogram(
            "millrace_commit_duration_seconds", "Of a group of submissions", buckets=BOUNDS[:12], registry=registry
        )
        self.commit_tasks = Histogram(
            "millrace_commit_tasks", "Submissions in a commit", buckets=(1, 4, 16, 64, 256), registry=registry
        )
        self.publish_failures = Counter(
            "millrace_publish_failures", "Groups that Redis did not take; rescue publishes them", registry=registry
        )
        registry.register(self)

    def accept(self, submission: Submission) -> None:
        """Count a submission that has become a task."""
        queue = submission.model, submission.priority
        self._submitted[queue] += 1
        self._inputs[queue] += submission.n_inputs

    def collect(self) -> Iterator[Metric]:
        yield from self.requests.collect()
        labels = ["model", "priority"]
        submitted = CounterMetricFamily("millrace_submissions", "Submissions accepted", labels=labels)
        inputs = CounterMetricFamily("millrace_inputs", "Inputs accepted", labels=labels)
        refused = CounterMetricFamily("millrace_requests_refused", "Requests answered by a problem", labels=["cause"])
        for family, counts in ((submitted, self._submitted), (inputs, self._inputs)):
            for (model, priority), count in list(counts.items()):
                family.add_metric([model, priority.name.lower()], count)
        for cause, count in list(self.refused.items()):
            refused.add_metric([cause], count)
        yield from (submitted, inputs, refused)


class Waiting(Collector):
    """The whole platform's backlog and workers, as the handler last saw them in PostgreSQL."""

    def __init__(self, backlog: Backlog, models: Iterable[str]) -> None:
        self._backlog = backlog
        self._models = list(models)

    def collect(self) -> Iterator[Metric]:
        labels = ["model", "priority"]
        tasks = GaugeMetricFamily("millrace_backlog_tasks", "Tasks that wait for a worker", labels=labels)
        inputs = GaugeMetricFamily("millrace_backlog_inputs", "Their inputs", labels=labels)
        oldest = GaugeMetricFamily("millrace_backlog_oldest_seconds", "Age of the oldest of them", labels=labels)
        workers = GaugeMetricFamily(
            "millrace_model_processes",
            "Worker processes with the model loaded, of all workers",
            labels=["model", "state"],
        )
        sample = self._backlog.sample
        if sample is not None and (age := monotonic() - sample.at) < STALE:
            for model in self._models:
                ready, busy = sample.processes.get(model, (0, 0))
                workers.add_metric([model, "ready"], ready)
                workers.add_metric([model, "busy"], busy)
                for priority in Priority:
                    n_tasks, n_inputs, seconds = sample.queues.get((model, priority), (0, 0, 0.0))
                    key = [model, priority.name.lower()]
                    tasks.add_metric(key, n_tasks)
                    inputs.add_metric(key, n_inputs)
                    oldest.add_metric(key, seconds + age if n_tasks else 0)
        yield from (tasks, inputs, oldest, workers)
