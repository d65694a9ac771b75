"""How exceptions look in the logs: where they were raised, but nothing that they quote.

A message may hold a piece of the input that caused it: Python quotes the value it cannot convert, PostgreSQL the row it
cannot store. What people send is kept in PostgreSQL only, where access is controlled and retention reaches it.
"""

import re
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

from structlog.typing import ExcInfo

_QUOTE = re.compile(r"[\"'`\n\[({=]")
MAX_MESSAGE = 200


def described(error: BaseException) -> str:
    """Return an exception's type, and its message up to whatever it quotes."""
    kind, message = type(error).__name__, str(error).strip()
    if message.startswith("("):  # SQLAlchemy puts the driver's own type first
        message = message.partition(") ")[2]
    said = _QUOTE.split(message, maxsplit=1)[0].strip()
    cut = " …" if len(said) < len(message) else ""
    return f"{kind}: {plain(said[:MAX_MESSAGE])}{cut}" if said else kind


def plain(said: str) -> str:
    """Escape what would begin a line of its own in a log, or tell a terminal what to do."""
    if said.isprintable():
        return said
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in said)


def formatted(exc_info: ExcInfo) -> str:
    """Return a traceback in which every message is cut where it begins to quote."""
    return "\n".join(_lines(exc_info[1])).rstrip()


def _lines(error: BaseException | None, depth: int = 5) -> Iterator[str]:
    if error is None or depth == 0:
        return
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines(before, depth - 1)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield described(error)


def to_stream(stream: TextIO, exc_info: Any) -> None:
    """Do the same for structlog's console renderer."""
    stream.write("\n" + formatted(exc_info))
