"""Structured logs: constant event names with fields, as JSON or readable, with the request and the trace in every line.

An exception shows where it was raised, but nothing that it quotes. Its message may hold a piece of an input: Python
quotes the value that it cannot convert, PostgreSQL the row that it cannot store. What people send is kept in PostgreSQL
only, where access is controlled and retention applies.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Literal, TextIO
from uuid import UUID

import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from structlog.typing import EventDict, ExcInfo, Processor

from telemetry import tracing

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
TASK_ID: ContextVar[UUID | None] = ContextVar("task_id", default=None)
"""The request that this context serves, and the task that it is about."""

MAX_MESSAGE = 200
"""Characters of an exception's message that are logged."""

_QUOTE = re.compile(r"[\"'`\n\[({=]")


class LogSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    log_format: Literal["readable", "json"] = Field(
        default="readable", description="readable for people, json for a log collector; one line an event"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="the least severe events that are logged"
    )


SIGNING = ("botocore", "aiobotocore", "s3fs", "gcsfs", "google", "urllib3")
"""Libraries that log whole requests for debugging, session tokens included."""


def configure(settings: LogSettings) -> None:
    """Send our events, and those of the libraries below us, to standard error in one format."""
    shared: list[Processor] = [
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor
    if settings.log_format == "json":
        shared.append(structlog.processors.ExceptionRenderer(_formatted))
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=_print_exception
        )
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
    for signing in SIGNING:
        logging.getLogger(signing).setLevel("INFO")


def _add_context(_: object, __: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    if (task_id := TASK_ID.get()) is not None and "task_ids" not in event:
        event.setdefault("task_id", str(task_id))
    if (parent := tracing.current()) is not None:
        event["trace_id"] = parent.split("-")[1]
    return event


def _in_one_line(_: object, __: str, event: EventDict) -> EventDict:
    """In the readable format, let no text of others pass for a line of ours. JSON escapes by itself."""
    return {
        name: _escaped(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _escaped(text: str) -> str:
    """Escape what would begin a line of its own in a log, or control a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _print_exception(stream: TextIO, exc_info: Any) -> None:
    stream.write("\n" + _formatted(exc_info))


def _formatted(exc_info: ExcInfo) -> str:
    """Return a traceback in which every message is cut where it begins to quote."""
    return "\n".join(_traceback_lines(exc_info[1])).rstrip()


def _traceback_lines(error: BaseException | None, depth: int = 5) -> Iterator[str]:
    if error is None or depth == 0:
        return
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _traceback_lines(before, depth - 1)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield _described(error)


def _described(error: BaseException) -> str:
    """Return an exception's type, and its message up to whatever it quotes."""
    kind, message = type(error).__name__, str(error).strip()
    if message.startswith("("):  # SQLAlchemy puts the driver's own type first
        message = message.partition(") ")[2]
    unquoted = _QUOTE.split(message, maxsplit=1)[0].strip()
    cut = " …" if len(unquoted) < len(message) else ""
    return f"{kind}: {_escaped(unquoted[:MAX_MESSAGE])}{cut}" if unquoted else kind
