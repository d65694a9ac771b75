"""Puts messages into Redis."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from uuid import UUID, uuid4

from celery import Celery
from kombu.exceptions import KombuError
from redis import RedisError

from broker.message import PRIORITIES, chunks, queue_of


class PublishFailed(Exception):
    """Redis did not take the message. The tasks stay PENDING, and rescue publishes them later."""


def publish(
    app: Celery, tasks: Iterable[tuple[UUID, str, int, int]], time_limit: Callable[[str], int], *, alone: bool = False
) -> int:
    """Publish tasks, given as (id, model, inputs, priority), in chunks or each `alone`; return how many messages.

    Blocks for as long as Redis takes, bounded by the socket timeouts. Raises PublishFailed on the first message
    that Redis does not take; those before it are out. `time_limit` gives a model's limit in seconds.
    """
    messages = 0
    queue = itemgetter(1, 3)
    for (model, priority), group in groupby(sorted(tasks, key=queue), key=queue):
        pairs = [(task_id, n_inputs) for task_id, _, n_inputs, _ in group]
        for chunk in [[task_id] for task_id, _ in pairs] if alone else chunks(pairs):
            _send(app, model, priority, chunk, time_limit(model))
            messages += 1
    return messages


def _send(app: Celery, model: str, priority: int, chunk: Sequence[UUID], time_limit: int) -> None:
    task_ids = [str(task_id) for task_id in chunk]
    try:
        app.send_task(
            queue_of(model),
            kwargs={"task_ids": task_ids},
            kwargsrepr=f"task_ids: {', '.join(task_ids)}",  # for Flower: all of them, uncut
            queue=queue_of(model),
            priority=priority,
            # Flower finds a message by the task's id, if it carries only one.
            task_id=task_ids[0] if len(chunk) == 1 else str(uuid4()),
            soft_time_limit=time_limit,  # interrupts scoring
            time_limit=time_limit + 5,  # kills the process that could not be interrupted
        )
    except (KombuError, RedisError, OSError) as error:
        raise PublishFailed(f"{model}: {error}") from error


def queue_lengths(app: Celery, model: str) -> dict[int, int]:
    """Return how many messages of each priority wait in the model's queue; those being scored are not counted.

    Raises PublishFailed.
    """
    return {priority: queue_length(app, model, priority) for priority in PRIORITIES}


def queue_length(app: Celery, model: str, priority: int) -> int:
    """Return how many messages of this priority wait in the model's queue. Raises PublishFailed."""
    try:
        with app.pool.acquire() as connection:
            channel = connection.default_channel
            return int(channel.client.llen(channel._q_for_pri(queue_of(model), priority)))
    except (KombuError, RedisError, OSError) as error:
        raise PublishFailed(str(error)) from error
