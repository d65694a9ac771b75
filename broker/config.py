"""Celery's options, each with its reason, and the application that carries them."""

from typing import Any

from celery import Celery
from celery.app.registry import TaskRegistry

from broker.message import PRIORITIES
from broker.timeouts import CONNECT_TIMEOUT, SOCKET_TIMEOUT

OPTIONS: dict[str, Any] = {
    # JSON only, on the accepting side too: a pickle in Redis must not run.
    "accept_content": ["json"],
    "task_serializer": "json",
    "event_serializer": "json",
    # PostgreSQL holds the results; no result backend.
    "task_ignore_result": True,
    # A message is acknowledged after its tasks have ended, so that a worker takes no more than its processes score.
    "task_acks_late": True,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    # A message that killed its worker is not redelivered by Celery: rescue does it, and counts.
    "task_reject_on_worker_lost": False,
    "task_retry_on_worker_lost": False,
    # Accepting never waits for Redis; what could not be published is published by rescue.
    "task_publish_retry": False,
    "broker_pool_limit": 4,
    "broker_pool_acquire_timeout": 2,
    # One message ahead for each process: chunks are large, and a fair share matters more than a head start.
    "worker_prefetch_multiplier": 1,
    # A replacement process that loads its model for longer than the default 4 s would be killed for ever.
    "worker_proc_alive_timeout": 60,
    # SIGTERM lets a worker finish its chunk, for as long as that takes. On SIGQUIT it has this many seconds;
    # then rescue brings back the tasks.
    "worker_soft_shutdown_timeout": 5,
    # A broker's hiccup must not cancel scoring that PostgreSQL will accept.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # Flower shows deliveries from these events.
    "worker_send_task_events": True,
    "task_send_sent_event": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # Our own structured log, not Celery's format.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "broker_transport_options": {
        "priority_steps": list(PRIORITIES),
        # Within a priority the models take turns. (In the order "priority" a busy model starves those after it.)
        "queue_order_strategy": "round_robin",
        # Redis that hangs rather than refuses must not hold a caller for long.
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # Fail a publish at once when Redis refuses it, instead of trying again for seconds: rescue is the retry.
        "max_retries": 0,
        "interval_start": 0,
    },
}


def create_celery(redis_url: str, tasks: type[TaskRegistry] = TaskRegistry) -> Celery:
    """Return a Celery application on this Redis, with this kind of registry of its tasks; it connects on first use."""
    app = Celery("millrace", broker=redis_url, set_as_current=False, tasks=tasks())
    app.conf.update(OPTIONS)
    return app
