"""Tells by its first bytes what a file is that is no text, and what to do with it instead."""

import re
from collections.abc import Mapping
from typing import NamedTuple


class _Foreign(NamedTuple):
    name: str
    begins: re.Pattern[bytes]
    words: str
    remedy: str


_TABLE = "open it, and save it as CSV"

# A text may begin with the letters PAR1 or ARROW1, but no control character follows there.
_KNOWN = (
    _Foreign("zip", re.compile(rb"PK(\x03\x04|\x05\x06)"), "an Excel workbook (.xlsx) or another zip archive", _TABLE),
    _Foreign("ole", re.compile(rb"\xd0\xcf\x11\xe0"), "an Excel workbook of the old format (.xls)", _TABLE),
    _Foreign("pdf", re.compile(rb"%PDF-"), "a PDF", "export the table as CSV from the program that made it"),
    _Foreign("parquet", re.compile(rb"PAR1[\x00-\x08\x0e-\x1f]"), "a Parquet file", "save it as CSV"),
    _Foreign("arrow", re.compile(rb"ARROW1\x00"), "an Arrow file", "save it as CSV"),
    _Foreign("gzip", re.compile(rb"\x1f\x8b"), "compressed with gzip", "decompress it"),
    _Foreign("zstd", re.compile(rb"\x28\xb5\x2f\xfd"), "compressed with zstd", "decompress it"),
)


def foreign(content: bytes, others: Mapping[str, str] | None = None) -> str | None:
    """Say what this content is and the remedy, as `a PDF, not a text file; …`. None: it may be a text.

    `others` has another remedy for some of zip, ole, pdf, parquet, arrow, gzip and zstd, where the caller knows one.
    """
    for one in _KNOWN:
        if one.begins.match(content):
            return f"{one.words}, not a text file; {(others or {}).get(one.name, one.remedy)}"
    return None
