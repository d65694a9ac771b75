"""The message: the ids of the tasks that a model is to score. The inputs stay in PostgreSQL."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from uuid import UUID

MAX_TASKS = 256
"""Tasks in a chunk: from about here on a larger chunk no longer makes a task cheaper."""

Bounds = Callable[[str], tuple[int, int]]
"""Gives, by the model's name, how many inputs a chunk may have, unless one task alone has more, and the seconds that
scoring it may take."""


QUEUES = "score."
"""What the name of every queue begins with."""


def queue_of(model: str) -> str:
    """Return the name of a model's queue, which is also the name of the Celery task that takes from it.

    Flower lists, counts and filters by this name. It is a plain queue: an explicit exchange would lose its
    bindings with Redis's data.
    """
    return QUEUES + model


PRIORITIES = (0, 1, 2)
"""High, normal, low: Redis holds a list for each, and workers empty the first before they look at the next."""


def list_of(model: str, priority: int) -> str:
    """Return the name of Redis's list, which kombu derives from the queue's."""
    return f"{queue_of(model)}\x06\x16{priority}" if priority else queue_of(model)


Task = tuple[UUID, str, int, int]
"""A task to be published: its id, model, number of inputs, priority."""


def messages(tasks: Iterable[Task], bounds: Bounds, *, alone: bool) -> Iterator[tuple[str, int, list[UUID]]]:
    """Group tasks into messages (model, priority, chunk), or each `alone`."""
    queue = itemgetter(1, 3)
    for (model, priority), group in groupby(sorted(tasks, key=queue), key=queue):
        pairs = [(task_id, n_inputs) for task_id, _, n_inputs, _ in group]
        for chunk in [[task_id] for task_id, _ in pairs] if alone else chunks(pairs, bounds(model)[0]):
            yield model, priority, chunk


def chunks(tasks: Iterable[tuple[UUID, int]], max_inputs: int) -> Iterator[list[UUID]]:
    """Split (task id, number of inputs) pairs of one model into chunks, in their order."""
    chunk: list[UUID] = []
    inputs = 0
    for task_id, n_inputs in tasks:
        if chunk and (len(chunk) == MAX_TASKS or inputs + n_inputs > max_inputs):
            yield chunk
            chunk, inputs = [], 0
        chunk.append(task_id)
        inputs += n_inputs
    if chunk:
        yield chunk
