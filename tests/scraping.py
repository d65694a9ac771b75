"""Reads what a running program tells Prometheus."""

from collections.abc import Iterator

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.running import Platform, eventually

Labels = dict[str, str]


def samples(platform: Platform, program: str) -> Iterator[tuple[str, Labels, float]]:
    answer = httpx.get(f"http://127.0.0.1:{platform.metrics[program]}/metrics")
    assert answer.status_code == 200, answer.text
    for family in parse(answer.text):
        yield from ((found.name, found.labels, found.value) for found in family.samples)


def sample(platform: Platform, program: str, name: str, **labels: str) -> float:
    """Return the sum of a program's samples of this name that have these labels."""
    found = samples(platform, program)
    return sum(value for given, of, value in found if given == name and labels.items() <= of.items())


def settle(platform: Platform) -> None:
    """Wait until the handler and the worker have counted what they have answered: both do so after the answer."""
    eventually(lambda: sample(platform, "handler", "millrace_http_requests_in_flight") == 0)
    eventually(lambda: sample(platform, "worker", "millrace_worker_processes", state="busy") == 0)


def answers(platform: Platform, program: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{platform.metrics[program]}/metrics").status_code == 200
    except httpx.TransportError:
        return False
