"""Clients take turns: a submission goes to one of its priority's lanes, and workers take from the lanes in turns.

All of this is a hint, for the order only: no promise rests on it.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from broker.message import LANES, MAX_TASKS, Bounds, Lane, QueuedTask

FRONT_SHARE = 4
"""The front has so many times the share of another lane: it is that of many clients, the others each of few."""

HEAD_START = 1.0
"""Chunks by which the front may be ahead of its turn, so that what is light goes first, and a client's first tasks go
before the later ones that it has behind."""


class Turns:
    """In which order one worker takes from the lanes of a priority: in turns by inputs.

    This is start-time fair queueing (Goyal, Vin and Cheng, 1996). A lane is charged for the inputs of each message that
    is taken from it, and the one that has been charged least is next. A lane in which nothing waited saves up no turns.
    """

    def __init__(self) -> None:
        self._charged: dict[tuple[str, int], list[float]] = {}
        self._now: dict[tuple[str, int], float] = {}
        """The turn at which the last message was taken. Turns are counted in chunks."""

    def taken(self, queue: str, lane: Lane, chunks: float) -> None:
        """Charge a lane for a message of so many chunks' inputs that was taken from it."""
        turns = queue, lane.priority
        charged = self._charged.setdefault(turns, [0.0] * LANES)
        now = self._now.get(turns, 0.0)
        begin = max(charged[lane.number], now)
        self._now[turns] = begin if lane.number else max(now, begin - HEAD_START)
        charged[lane.number] = begin + (chunks if lane.number else chunks / FRONT_SHARE)

    def order(self, queue: str, priority: int) -> list[int]:
        """Return the lanes of a priority, the next one first."""
        charged = self._charged.get((queue, priority), [0.0] * LANES)
        now = self._now.get((queue, priority), 0.0)
        turns = [max(turn, now) for turn in charged]
        turns[0] -= HEAD_START
        return sorted(range(LANES), key=turns.__getitem__)


MOST = 100_000
"""Tasks that are remembered. The oldest are forgotten first: their end was not heard, or a great many wait."""


class Sharer(NamedTuple):
    """Whose work waits for a model at a priority. A job takes its turns apart from its client's other tasks."""

    model: str
    priority: int
    client: str | None
    job: UUID | None = None


@dataclass(slots=True, eq=False)
class _Share:
    """What waits of a sharer, and in which lane."""

    sharer: Sharer
    lane: int = 0
    tasks: int = 0
    inputs: int = 0


class ClientLanes:
    """Which lane a task is published to: the front, unless half a chunk of its client waits there already.

    It knows what this program has published and has not heard the end of.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._shares: dict[Sharer, _Share] = {}
        self._tasks: dict[str, tuple[_Share, int]] = {}

    def choose(self, task_id: UUID, sharer: Sharer, n_inputs: int) -> QueuedTask:
        """Return the task with its lane, and remember it until it has ended.

        A client that was sent behind stays there until nothing of it waits, so that its own tasks stay in their order.
        """
        name = str(task_id)
        if name in self._tasks:  # it is replayed, and its end was not heard
            self.ended([name])
        share = self._shares.get(sharer)
        if share is None:
            share = self._shares[sharer] = _Share(sharer)
        if share.lane == 0 and self._is_much(share, n_inputs):
            share.lane = self._lane_behind(sharer)
        share.tasks += 1
        share.inputs += n_inputs
        self._tasks[name] = (share, n_inputs)
        if len(self._tasks) > MOST:
            self.ended([next(iter(self._tasks))])
        return QueuedTask(task_id, sharer.model, n_inputs, sharer.priority, share.lane)

    def ended(self, task_ids: Iterable[str]) -> None:
        """Note that these tasks wait no more. Those of other programs may be among them."""
        for task_id in task_ids:
            if known := self._tasks.pop(task_id, None):
                share, n_inputs = known
                share.tasks -= 1
                share.inputs -= n_inputs
                if not share.tasks:
                    del self._shares[share.sharer]

    def forget_but(self, queues: Container[tuple[str, int]]) -> None:
        """Forget what waited for other models and priorities than these: it has ended, and that was not heard."""
        if all((sharer.model, sharer.priority) in queues for sharer in self._shares):
            return
        gone = [
            task_id
            for task_id, (share, _) in self._tasks.items()
            if (share.sharer.model, share.sharer.priority) not in queues
        ]
        self.ended(gone)

    def _is_much(self, share: _Share, n_inputs: int) -> bool:
        """Return whether that would be more than half a chunk: two clients then hold up a third by one at most."""
        most, _ = self._bounds(share.sharer.model)
        return share.tasks >= MAX_TASKS // 2 or share.inputs + n_inputs > max(1, most // 2)

    def _lane_behind(self, sharer: Sharer) -> int:
        """Return the lane of this client, or else the one in which the least waits.

        A client has one lane however many jobs it has, so that it gets no more turns by them. Where all callers are one
        client, jobs are told apart.
        """
        owner = _owner(sharer)
        inputs = [0] * LANES
        for share in self._shares.values():
            if share.lane and share.sharer[:2] == sharer[:2]:
                if _owner(share.sharer) == owner:
                    return share.lane
                inputs[share.lane] += share.inputs
        first = crc32(repr(owner).encode())  # several handlers tend to choose the same lane for a client
        return min((1 + (first + n) % (LANES - 1) for n in range(LANES - 1)), key=inputs.__getitem__)


def _owner(sharer: Sharer) -> str | UUID | None:
    return sharer.client or sharer.job
