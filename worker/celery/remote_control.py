"""Limits Celery's remote control, which Flower's buttons use, to inspecting a worker and stopping it.

A worker would keep the other commands in its memory, where PostgreSQL and rescue cannot see them: discard a task's
message (revoke), hold messages back (rate limit), take no more (cancel consumer), interrupt every chunk (time limit).
Each leaves accepted tasks waiting for as long as the worker lives, and anybody who reaches Redis can send it.
"""

from functools import partial

import structlog
from celery.worker.control import Panel

log = structlog.get_logger(__name__)

ALLOWED = frozenset(
    {
        *("active", "active_queues", "clock", "conf", "ping", "query_task", "registered", "report", "reserved"),
        *("revoked", "scheduled", "stats"),
        *("enable_events", "disable_events", "heartbeat"),
        "shutdown",  # the worker's supervisor starts it again
    }
)

REFUSAL = (
    "not allowed on Millrace's workers. Cancel a task with POST /task/<id>/cancel; change a worker by its settings."
)


def restrict() -> None:
    """Refuse every command that is not in ALLOWED, in this program."""
    for command in list(Panel.data):
        if command.removeprefix("dump_") not in ALLOWED:
            Panel.data[command] = partial(_refuse, command)


def _refuse(command: str, state: object, **_: object) -> dict[str, str]:
    log.warning("control_refused", command=command)
    return {"error": f"{command}: {REFUSAL}"}
