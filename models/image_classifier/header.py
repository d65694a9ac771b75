"""Reads what an image file says of itself: format, size, and whether all of it is there. Decodes nothing.

Pillow could read it as well, but opening a file makes it inflate the texts inside: a PNG of 60 kB kept the handler busy
for 0.17 s. What is here walks over lengths and checksums.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAX_PARTS = 10_000
"""Chunks or segments of one file. Encoders write a few hundred; millions of empty ones would take seconds to walk."""

KNOWN = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"<?xml": "an XML or SVG",
    b"\0\0\1\0": "an ICO",
}
"""First bytes of what people send by mistake, so that the refusal can name it."""

PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"})
"""The chunks that the first frame's pixels depend on, and their orientation."""


class UnreadableImage(ValueError):
    """The file is no image that can be classified; the message says why and what to do."""


USUAL_SCANS = 16
"""Of a progressive JPEG; encoders write about ten. Each visits every pixel, and may take 40 bytes of the file."""


class Header(NamedTuple):
    """A file's format, in Pillow's word for it, its size, and how often a decoder goes over its pixels."""

    kind: str
    width: int
    height: int
    scans: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def work(self) -> int:
        """Pixels to decode, those of unusually many scans counted again: what decoding takes is proportional to it."""
        return self.pixels * -(-self.scans // USUAL_SCANS)


def read(data: bytes) -> Header:
    """Return what a complete PNG, JPEG or WebP file says of itself. Raises UnreadableImage."""
    if not data:
        raise UnreadableImage("The file is empty; send a PNG, JPEG or WebP file")
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            header = _png(data)
        elif data.startswith(b"\xff\xd8\xff"):
            header = _jpeg(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            header = _webp(data)
        else:
            raise UnreadableImage(f"Not a PNG, JPEG or WebP file, by its content{_guess(data)}; convert it to one")
    except (struct.error, IndexError):
        raise _cut_off() from None
    if not header.pixels:
        raise UnreadableImage(f"The image is {header.width} x {header.height}, so it has no pixels; send one that has")
    return header


def pixels_only(data: bytes) -> bytes:
    """Return a PNG without the chunks that its first frame's pixels do not need: texts, profiles, further frames."""
    return data[:8] + b"".join(data[begin:end] for kind, begin, end in _chunks(data) if kind in PNG_PIXELS)


def _png(data: bytes) -> Header:
    kinds = [kind for kind, _, _ in _chunks(data)]
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds:
        raise _damaged("it lacks a PNG's header or its pixels")
    return Header("PNG", *struct.unpack_from(">II", data, 16))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, begin and end, the last one's too, and compare the checksums."""
    view = memoryview(data)
    begin = 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, begin)
        end = begin + 12 + length
        if zlib.crc32(view[begin + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise _damaged(f"its part {kind.decode('latin-1')!r} fails its checksum")
        yield kind, begin, end
        if kind == b"IEND":
            return
        begin = end
    raise _too_many_parts()


_SIZES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive
_OTHER_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} - _SIZES
"""Arithmetic, lossless and hierarchical coding: no browser reads them, and a decoder makes much work of little data."""

_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_FILL, _SCAN, _END = 0xFF, 0xDA, 0xD9
_AFTER_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The marker that ends a scan's data: neither a byte 255 of the data (followed by 0) nor a restart."""


def _jpeg(data: bytes) -> Header:
    """Walk over the segments and count the scans, up to the end marker."""
    place, size, scans = 2, None, 0
    for _ in range(MAX_PARTS):
        kind = data[place + 1]
        if data[place] != 0xFF or (kind == _END and not scans):
            raise _damaged("its segments do not follow on one another")
        if kind == _END and size is not None:
            return Header("JPEG", size[1], size[0], scans)
        if kind == _FILL:
            place += 1
        elif kind in _ALONE:
            place += 2
        else:
            if kind in _OTHER_SIZES:
                raise UnreadableImage("The JPEG is coded in a way that is not supported; save it as a baseline JPEG")
            if kind in _SIZES:
                size = struct.unpack_from(">HH", data, place + 5)
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
            if kind == _SCAN:
                if size is None:
                    raise _damaged("it does not say its size")
                scans += 1
                data_ends = _AFTER_DATA.search(data, place)
                if data_ends is None:
                    raise _cut_off()
                place = data_ends.start()
    raise _too_many_parts()


def _webp(data: bytes) -> Header:
    if len(data) < int.from_bytes(data[4:8], "little") + 8:
        raise _cut_off()
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WEBP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        [bits] = struct.unpack_from("<I", data, 21)
        return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X" and len(data) >= 30:
        return Header("WEBP", *(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)))
    raise _damaged("it has no WebP header")


def _guess(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return " (it is an AVIF, a HEIC or a film)"
    found = next((name for start, name in KNOWN.items() if data.startswith(start)), None)
    return f" (it is {found})" if found else ""


def _cut_off() -> UnreadableImage:
    return UnreadableImage("The file is cut off: its end is missing; send the whole file")


def _damaged(how: str) -> UnreadableImage:
    return UnreadableImage(f"The file is damaged: {how}; save the image anew and send that")


def _too_many_parts() -> UnreadableImage:
    return UnreadableImage(f"The file has more than {MAX_PARTS:,} parts; save the image anew and send that")
