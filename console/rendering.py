"""Makes pages of templates, in which every stored text is escaped, and says times, ages and numbers in words."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from handler import VERSION
from store.first_rows import Beginning

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

CELL = 120
"""Characters of a text that a cell of a table shows."""

WHOLE = 2_000
"""Characters of a text that stands by itself."""

DASH = "\N{EN DASH}"
"""What stands where there is no value."""

_SHOWN_CONTROLS = "\n\t"


class Templates:
    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        filters: dict[str, Callable[..., Any]] = {
            "moment": moment,
            "age": age,
            "count": count,
            "text": text,
            "value": value,
            "path": path_part,
            "number": number,
            "memory": memory,
        }
        self._environment.filters |= filters
        self._environment.globals |= {"asset": asset, "version": VERSION}

    def render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(values)


def asset(name: str) -> str:
    """Return a static file's name with its hash, so that a browser never shows a page with another release's file."""
    return f"{name}?v={_hashes[name]}"


_hashes = {file.name: sha256(file.read_bytes()).hexdigest()[:12] for file in STATIC.iterdir()}


def moment(at: datetime | None) -> str | Markup:
    """Return a time to the second, in UTC, exact in its tooltip."""
    if at is None:
        return DASH
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S.%f} UTC", f"{at:%Y-%m-%d %H:%M:%S}"
    )


def age(seconds: float | None) -> str:
    """Return a span of time in the two units that matter."""
    if seconds is None:
        return DASH
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def count(n: float) -> str:
    """Return a number of things, with its thousands apart."""
    return f"{n:,.0f}" if n >= 10 or n == int(n) else f"{n:.1f}"


def number(n: float) -> str:
    """Return a measured number in six significant digits."""
    return f"{n:.6g}"


def memory(size: int | None) -> str:
    """Return bytes of memory in MiB, and from 10 GiB on in GiB."""
    if size is None:
        return DASH
    return f"{size / 2**20:,.0f} MiB" if size < 10 * 2**30 else f"{size / 2**30:,.1f} GiB"


def text(given: object, most: int = CELL) -> Markup:
    """Return a stored text as it may stand in a page: controls visible, direction its own, cut where it is too long."""
    whole = str(given)
    cut = "".join(_visible(character) for character in whole[:most])
    rest = Markup(' <span class="cut">… {} characters</span>').format(f"{len(whole):,}") if len(whole) > most else ""
    return Markup("<bdi>{}</bdi>{}").format(cut, rest)


def _visible(character: str) -> str:
    """Return a picture of a control character, and the code of one that directs or joins others."""
    if character in _SHOWN_CONTROLS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


_NONE, _YES, _NO = Markup('<span class="none">{}</span>').format(DASH), Markup("yes"), Markup("no")


def value(given: object, most: int = CELL) -> Markup:
    """Return a value of an input or output."""
    if given is None:
        return _NONE
    if isinstance(given, Beginning):
        return Markup('{} <span class="cut">… {} {}</span>').format(
            "" if given.unit == "bytes" else value(given.shown, most), f"{given.size:,}", given.unit
        )
    if isinstance(given, bool):
        return _YES if given else _NO
    if isinstance(given, float):
        return Markup("{}").format(number(given))
    if isinstance(given, list):
        return text(", ".join(number(one) if isinstance(one, float) else str(one) for one in given), most)
    return text(given, most)


def path_part(given: object) -> str:
    """Return a text as one part of a path."""
    return quote(str(given), safe="")
