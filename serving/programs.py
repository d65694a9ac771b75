"""Tells programs from data by a file's content, whatever it is called: a pickle runs what its author wrote."""

import pickletools
from pathlib import Path

HEAD = 4096

MAX_PICKLE = 64 * 2**20
"""Bytes of a file that is read to its end to see whether it is a pickle without a header."""

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"x\x9c": "zlib",
    b"x\x01": "zlib",
    b"x\xda": "zlib",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b'\x04"M\x18': "lz4",
    b"\x7fELF": "program",
    b"#!": "program",
}
"""What programs, and archives that may hold one, begin with. joblib compresses pickles, PyTorch zips them."""

PROTOCOLS = range(2, 6)
"""Of pickle, those that begin with PROTO and their number. A pickle of an older one may begin with anything."""


def kind_of(file: Path) -> str | None:
    """Return which kind of program, or archive of programs, a file is. None: it is data."""
    with file.open("rb") as content:
        head = content.read(HEAD)
    if head[:1] == b"\x80" and head[1:2] and head[1] in PROTOCOLS:
        return "pickle"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "pickle" if _is_old_pickle(file) else None


def _is_old_pickle(file: Path) -> bool:
    """Whether the file is from its first to its last byte the orders of a pickle, one of which names a function."""
    size = file.stat().st_size
    if not 0 < size <= MAX_PICKLE:
        return False
    with file.open("rb") as content:
        content.seek(-1, 2)
        if content.read(1) != b".":  # STOP
            return False
        content.seek(0)
        names = False
        try:
            for order, _, _ in pickletools.genops(content):
                names = names or order.name in ("GLOBAL", "STACK_GLOBAL", "INST")
        except Exception:  # whatever it is: not a pickle that could be loaded
            return False
        return names and content.tell() == size
