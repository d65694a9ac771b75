"""Structured logs: constant event names with fields, as JSON or readable; the request and the trace in every line."""

import logging
import sys
from contextvars import ContextVar
from typing import Literal
from uuid import UUID

import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from telemetry import exceptions, tracing

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
TASK_ID: ContextVar[UUID | None] = ContextVar("task_id", default=None)
"""The request that this context serves, and the task that it is about."""


class LogSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    log_format: Literal["readable", "json"] = Field(default="readable", description="one line an event, either way")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def configure(settings: LogSettings) -> None:
    """Send our events, and those of the libraries below us, to standard error in one format."""
    shared: list[structlog.typing.Processor] = [
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(exceptions.formatted),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=exceptions.to_stream
        )
    )
    if settings.log_format == "readable":
        shared.pop()  # the console renderer formats exceptions itself
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _in_one_line, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for chatty in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel("WARNING")  # a line a message; ours says the same with the task ids


def _add_context(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    if (task_id := TASK_ID.get()) is not None and "task_ids" not in event:
        event.setdefault("task_id", str(task_id))
    if (parent := tracing.current()) is not None:
        event["trace_id"] = parent.split("-")[1]
    return event


def _in_one_line(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Let no text of others, in the readable format, pass for a line of ours; JSON escapes by itself."""
    return {
        name: exceptions.plain(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }
