"""Plays a schedule against a server (open loop), or keeps connections busy (closed loop).

Open loop: a request is sent when it is due, not when the last answer came back, and its latency counts from
the moment at which it was due. A server that stalls cannot hide: what it holds up is measured as late.
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import perf_counter as clock  # uvloop's own clock counts milliseconds

import uvloop

from bench.connection import HttpAnswer, LoadConnection, LoadTarget
from bench.kinds import body, kind
from bench.schedule import Arrival, Schedule
from store.states import PENDING, STARTED

DISTINCT_BYTES = 16 * 2**20
"""Bodies of one kind and size differ up to this volume, then repeat: a cache must not look better than it is."""

MOST = 10_000
"""Requests per second for which a closed loop has bodies ready; beyond, they repeat."""

TIMEOUT = 30.0
FOLLOW = "prefer: wait=30\r\n"
ASK_AGAIN = 0.001
"""Seconds; for servers that do not hold the line."""
UNFINISHED = frozenset({PENDING, STARTED, "pending", "in_progress"})


@dataclass
class Seen:
    """What became of one request. Times are seconds from the start of the run."""

    kind: str
    size: int
    due: float
    woken: float
    """When the generator got to it; later than `due` by its own lateness."""
    sent: float
    """When a connection was free for it."""
    answered: float
    status: int
    body: bytes
    ended: float | None = None
    """When the client knew that its task had ended (kinds that follow)."""


@dataclass
class Run:
    """Everything that one run has seen."""

    title: str
    seconds: float
    """Planned, or of the closed loop."""
    started: float
    """time.time() at second 0."""
    connections: int
    seen: list[Seen] = field(default_factory=list)
    cpu_seconds: float = 0.0
    """Of the generator."""
    took: float = 0.0
    open_loop: bool = True


def play(schedule: Schedule, target: LoadTarget, *, connections: int, timeout: float = TIMEOUT) -> Run:
    """Play a schedule with at most so many connections; ends `timeout` seconds after its last request at the latest."""
    run = Run(schedule.title, schedule.seconds, 0.0, connections)
    requests = _prepare(schedule.arrivals, target)
    return uvloop.run(_Generator(run, target, timeout).play(schedule.arrivals, requests))


def saturate(
    target: LoadTarget,
    name: str,
    size: int,
    *,
    connections: int,
    seconds: float,
    requests: int | None = None,
    timeout: float = TIMEOUT,
) -> Run:
    """Keep so many connections busy with one kind of request, until the time or the number of requests is over."""
    run = Run(f"Closed loop, {name} of {size}, {connections} connections", seconds, 0.0, connections, open_loop=False)
    bodies = _prepare([Arrival(0.0, name, size)] * (requests or math.ceil(seconds * MOST)), target)
    return uvloop.run(_Generator(run, target, timeout).saturate(name, size, bodies, requests))


class _Generator:
    def __init__(self, run: Run, target: LoadTarget, timeout: float) -> None:
        self._run = run
        self._target = target
        self._timeout = timeout
        self._free: list[LoadConnection] = []
        self._opened: set[LoadConnection] = set()
        self._turn = asyncio.Semaphore(run.connections)

    async def play(self, arrivals: tuple[Arrival, ...], requests: list[bytes]) -> Run:
        async def send_all() -> None:
            under_way: set[asyncio.Task[None]] = set()
            for planned, request in zip(arrivals, requests, strict=True):
                if (wait := self._start + planned.at - clock()) > 0:
                    await asyncio.sleep(wait)
                woken = clock() - self._start
                # uvloop's timers round to a millisecond; what they wake half of one early is due then, and not before.
                arrival = planned._replace(at=min(planned.at, woken))
                task = asyncio.create_task(self._one(arrival, request, woken))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way)

        return await self._measured(send_all)

    async def saturate(self, name: str, size: int, bodies: list[bytes], requests: int | None) -> Run:
        left = requests

        async def client(first: int) -> None:
            nonlocal left
            number = first
            while (now := clock() - self._start) < self._run.seconds and (left is None or left > 0):
                left = None if left is None else left - 1
                await self._one(Arrival(now, name, size), bodies[number % len(bodies)], now)
                number += self._run.connections

        async def all_clients() -> None:
            await asyncio.gather(*(client(first) for first in range(self._run.connections)))

        return await self._measured(all_clients)

    async def _measured(self, work: Callable[[], Awaitable[None]]) -> Run:
        self._run.started = time.time()
        self._start = clock()
        cpu = time.process_time()
        await work()
        self._run.took = clock() - self._start
        self._run.cpu_seconds = time.process_time() - cpu
        for connection in self._opened:
            connection.close()
        return self._run

    async def _one(self, arrival: Arrival, request: bytes, woken: float) -> None:
        async with self._turn:
            connection = self._take()
            sent = clock() - self._start
            # Waiting for a turn is part of the time that a request may take.
            answer = await connection.ask(request, max(0.001, arrival.at + self._timeout - sent))
            seen = Seen(
                arrival.kind, arrival.size, arrival.at, woken, sent, clock() - self._start, answer.status, answer.body
            )
            self._run.seen.append(seen)
            if kind(arrival.kind).follow and answer.status in (200, 202):
                await self._follow(connection, seen)
            self._free.append(connection)

    async def _follow(self, connection: LoadConnection, seen: Seen) -> None:
        path = kind(seen.kind).follow.format(task_id=json.loads(seen.body)["task_id"])
        while (left := self._timeout - (clock() - self._start - seen.due)) > 0:
            answer = await connection.ask(self._target.get(path, FOLLOW), left)
            if ended(answer):
                seen.ended = clock() - self._start
                return
            if answer.status != 200:
                return
            await asyncio.sleep(ASK_AGAIN)

    def _take(self) -> LoadConnection:
        while self._free:
            connection = self._free.pop()  # the last one used, so that few are idle for long
            if connection.usable:
                return connection
            connection.close()
            self._opened.discard(connection)
        connection = LoadConnection(self._target)
        self._opened.add(connection)
        return connection


def ended(answer: HttpAnswer) -> bool:
    """Say whether the task that was asked for has come to its end."""
    with suppress(ValueError, TypeError):
        return answer.status == 200 and json.loads(answer.body)["status"] not in UNFINISHED
    return False


def _prepare(arrivals: tuple[Arrival, ...] | list[Arrival], target: LoadTarget) -> list[bytes]:
    """Make every request before the first is due: that work must not fall into the run."""
    rng = Random()  # noqa: S311  other bodies each time, for a cache keeps those of the last run
    made: dict[tuple[str, int], list[bytes]] = {}
    volume: dict[tuple[str, int], int] = {}
    turn: dict[tuple[str, int], int] = {}
    requests = []
    for _, name, size in arrivals:
        part = (name, size)
        pool = made.setdefault(part, [])
        if volume.get(part, 0) < DISTINCT_BYTES:
            pool.append(target.post(kind(name).path, body(name, size, rng)))
            volume[part] = volume.get(part, 0) + len(pool[-1])
            requests.append(pool[-1])
        else:
            turn[part] = (turn.get(part, -1) + 1) % len(pool)
            requests.append(pool[turn[part]])
    return requests
