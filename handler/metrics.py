"""What Prometheus reads of a handler: it counts in plain numbers while it works, and is asked for them here."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from time import monotonic

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from handler.http.endpoint import BUCKETS, RouteCounters
from handler.models import KnownModels
from handler.problems import ProblemKind
from handler.redis_state import RedisState
from handler.submit.backlog import Backlog
from handler.submit.group_commit import GroupCommit
from store.states import Priority

STALE = 15.0
"""Seconds after which a backlog that could not be read again is no longer shown."""

ALARMING = (ProblemKind.BACKLOG_FULL, ProblemKind.STORE_UNAVAILABLE, ProblemKind.INTERNAL_ERROR)
"""Kinds of problems that alerts watch. They are shown from the start: Prometheus sees no increase in a series that
begins at one, so it would miss the first."""

QUEUE = ["model", "priority"]


class RequestCollector(Collector):
    """Requests by route, and problems by kind."""

    def __init__(self, routes: RouteCounters, refused: Counter[str]) -> None:
        self._routes = routes
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        labels = ["method", "route", "status"]
        total = CounterMetricFamily("millrace_http_requests", "Requests answered", labels=labels)
        latency = HistogramMetricFamily(
            "millrace_http_request_duration_seconds", "Until the answer was sent, with what it was held", labels=labels
        )
        in_flight = GaugeMetricFamily("millrace_http_requests_in_flight", "Requests under way", labels=labels[:2])
        bounds = [*map(str, BUCKETS), "+Inf"]
        for key, route in list(self._routes.items()):
            in_flight.add_metric(key, route.in_flight)
            for status, counts in list(route.ended.items()):
                *slots, seconds = list(counts)
                cumulative = list(accumulate(slots))
                values = [*key, str(status)]
                total.add_metric(values, cumulative[-1])
                latency.add_metric(values, list(zip(bounds, cumulative, strict=True)), seconds)
        refused = CounterMetricFamily("millrace_requests_refused", "Requests answered by a problem", labels=["cause"])
        for cause, count in ({kind.slug: 0 for kind in ALARMING} | dict(self._refused)).items():
            refused.add_metric([cause], count)
        yield from (total, latency, in_flight, refused)


class SubmissionCollector(Collector):
    """What this handler has accepted."""

    def __init__(self, group_commit: GroupCommit) -> None:
        self._group_commit = group_commit

    def collect(self) -> Iterator[Metric]:
        submitted, inputs = self._group_commit.accepted_tasks, self._group_commit.accepted_inputs
        yield _by_queue(CounterMetricFamily("millrace_submissions", "Submissions accepted", labels=QUEUE), submitted)
        yield _by_queue(CounterMetricFamily("millrace_inputs", "Inputs accepted", labels=QUEUE), inputs)
        failures = self._group_commit.publish_failures
        about = "Groups that Redis did not take; rescue publishes them"
        yield CounterMetricFamily("millrace_publish_failures", about, failures)


def _by_queue(family: CounterMetricFamily, counts: Mapping[tuple[str, Priority], int]) -> Metric:
    for (model, priority), count in list(counts.items()):
        family.add_metric([model, priority.name.lower()], count)
    return family


class BacklogCollector(Collector):
    """The whole platform's backlog and workers, as the handler last saw them in PostgreSQL."""

    def __init__(self, backlog: Backlog, models: KnownModels) -> None:
        self._backlog = backlog
        self._models = models

    def collect(self) -> Iterator[Metric]:
        tasks = GaugeMetricFamily("millrace_backlog_tasks", "Tasks that wait for a worker", labels=QUEUE)
        inputs = GaugeMetricFamily("millrace_backlog_inputs", "Their inputs", labels=QUEUE)
        oldest = GaugeMetricFamily("millrace_backlog_oldest_seconds", "Age of the oldest of them", labels=QUEUE)
        workers = GaugeMetricFamily(
            "millrace_model_processes",
            "Worker processes with the model loaded, of all workers",
            labels=["model", "state"],
        )
        sample = self._backlog.sample
        if sample is not None and (age := monotonic() - sample.at) < STALE:
            for model in self._models.live:
                ready, busy, _ = sample.processes.get(model, (0, 0, 0))
                workers.add_metric([model, "ready"], ready)
                workers.add_metric([model, "busy"], busy)
                for priority in Priority:
                    n_tasks, n_inputs, seconds = sample.queues.get((model, priority), (0, 0, 0.0))
                    key = [model, priority.name.lower()]
                    tasks.add_metric(key, n_tasks)
                    inputs.add_metric(key, n_inputs)
                    oldest.add_metric(key, seconds + age if n_tasks else 0)
        yield from (tasks, inputs, oldest, workers)


class RedisCollector(Collector):
    def __init__(self, redis: RedisState) -> None:
        self._redis = redis

    def collect(self) -> Iterator[Metric]:
        is_up = self._redis.fault is None
        yield GaugeMetricFamily("millrace_redis_up", "1 where the handler can use Redis, else 0", is_up)
