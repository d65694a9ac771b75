"""`millrace bench engines`: the burn benchmark in the API's process, in the pool and on Celery, by turns in one run."""

import json
import statistics
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from bench import executor, site
from bench.connection import LoadTarget
from bench.published import BURNS, TIMEOUT, burning
from bench.site import Servers

DESIGNS = {"in the API's process": "burn-sync", "ENGINE=pool": "burn", "ENGINE=celery": "burn"}
EVERY = 0.1
"""Seconds between two questions for the health."""

PATIENCE = 30.0


class Measured(NamedTuple):
    design: str
    clients: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    health_p50_ms: float
    health_max_ms: float
    failed: int


@click.command()
@click.option("--clients", type=int, multiple=True, default=(10, 20), show_default=True)
@click.option("--requests", default=BURNS, show_default=True, help="of each client, 10 million cycles each")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file to write")
def engines(clients: Sequence[int], requests: int, out: Path | None) -> None:
    """Burn CPU in the API's own process, in the pool and on Celery, and see whether the API still answers."""
    measured = []
    with site.servers() as servers:
        for number, (count, design) in enumerate(product(clients, DESIGNS)):
            with _started(design, servers, number) as target:
                measured.append(_measure(design, target, count, requests))
            click.echo(f"{design}, {count} clients: {measured[-1].requests_per_s:.1f} /s", err=True)
    table = Table(
        "clients", "scoring", "requests/s", "p50 ms", "p99 ms", "health p50 ms", "health max ms", "failed", box=None
    )
    for one in measured:
        figures = (one.requests_per_s, one.p50_ms, one.p99_ms, one.health_p50_ms, one.health_max_ms, one.failed)
        table.add_row(str(one.clients), one.design, *(f"{figure:,.4g}" for figure in figures))
    Console(highlight=False, width=110).print(table)
    if out is not None:
        out.write_text(json.dumps([one._asdict() for one in measured], indent=1), encoding="utf-8")


@contextmanager
def _started(design: str, servers: Servers, number: int) -> Iterator[LoadTarget]:
    if "=" not in design:
        with site.burn_sync(servers) as running:
            yield running.target
    else:
        with burning(servers, f"engines_{number}", ENGINE=design.partition("=")[2]) as running:
            yield running.target


def _measure(design: str, target: LoadTarget, clients: int, requests: int) -> Measured:
    with _asking(target) as health:
        run = executor.saturate(
            target,
            DESIGNS[design],
            1,
            connections=clients,
            seconds=TIMEOUT,
            requests=clients * requests,
            timeout=TIMEOUT,
        )
    ends = [seen.answered if seen.ended is None else seen.ended for seen in run.seen]
    took = sorted(1000 * (end - seen.sent) for end, seen in zip(ends, run.seen, strict=True))
    return Measured(
        design,
        clients,
        len(took) / max(ends),
        statistics.median(took),
        took[int(0.99 * len(took))],
        1000 * statistics.median(health),
        1000 * max(health),
        sum(seen.status not in (200, 202) for seen in run.seen),
    )


@contextmanager
def _asking(target: LoadTarget) -> Iterator[list[float]]:
    """Ask for the health again and again, and note how long each answer took; one that did not come took PATIENCE."""
    took: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            begin = perf_counter()
            connection = HTTPConnection(target.host, target.port, timeout=PATIENCE)
            try:
                connection.request("GET", "/health/ready")
                connection.getresponse().read()
            except (OSError, HTTPException):
                took.append(PATIENCE)
            else:
                took.append(perf_counter() - begin)
            finally:
                connection.close()
            over.wait(EVERY)

    thread = threading.Thread(target=ask, name="ask for the health", daemon=True)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()
