"""Sends the events of tasks, of which Flower lives, out of the tasks' way."""

from typing import Any

from celery import bootsteps

INTERVAL = 0.1
"""Seconds for which events are collected."""


class EventsStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Has Celery send collected events a few times a second.

    Left alone, it sends them in each turn of its loop, before it hands the message that has come to a worker process:
    a round trip to Redis, for which the task waits.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        if consumer.hub is None:
            return
        dispatcher = consumer.event_dispatcher
        waiting = False

        def send() -> None:
            nonlocal waiting
            waiting = False
            dispatcher.flush()

        def send_later() -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                consumer.hub.call_later(INTERVAL, send)

        dispatcher.on_send_buffered = send_later

    def stop(self, consumer: Any) -> None:
        if consumer.event_dispatcher is not None:
            consumer.event_dispatcher.flush()
