"""Inflates request bodies, bounded by what they become, and compresses responses where the client asks for it."""

import asyncio
import sys
import zlib
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZSTD, IDENTITY = "gzip", "zstd", "identity"

WINDOW = 2**23
"""Bytes of memory that a zstd body may ask for: what RFC 8878 wants every decoder to have."""

LARGE = 2**16
"""Bytes from which on a body is inflated in a thread, so that the event loop goes on."""

WORTH = 2**15
"""Bytes from which on a response is compressed: below, the handler would be busier than the network."""

PIECE = 2**18
"""Bytes of content that are inflated at once of a body that arrives block by block."""

GZIP_LEVEL = 1
"""The level at which zlib costs a third of its default for a tenth more bytes."""


def content_encoding(request: ApiRequest) -> str:
    """Return the coding of the body. Raises RequestRefused for one that is not supported."""
    coding = (request.header(b"content-encoding") or IDENTITY).strip().lower()
    if coding not in (*_WBITS, ZSTD, IDENTITY):
        detail = f"Content-Encoding {coding!r} is not supported; use gzip, deflate or zstd, or no compression."
        raise RequestRefused(ProblemKind.WRONG_CONTENT_ENCODING, detail)
    return coding


async def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """Return the content of a compressed body, of at most `limit` bytes. Raises RequestRefused."""
    if len(body) < LARGE:
        return _inflated(body, coding, limit)
    return await asyncio.to_thread(_inflated, body, coding, limit)


def _inflated(body: bytes, coding: str, limit: int) -> bytes:
    decoder = _decoder(coding)
    try:
        content: bytes = decoder.decompress(body, limit + 1)
    except (zlib.error, zstd.ZstdError):
        raise _invalid(coding) from None
    if len(content) > limit:
        detail = f"Decompressed, the body is over {limit} bytes; send several smaller submissions."
        raise RequestRefused(ProblemKind.BODY_TOO_LARGE, detail)
    _check_end(decoder, coding)
    return content


class Inflater:
    """Inflates a body that arrives block by block, a piece at a time."""

    def __init__(self, request: ApiRequest) -> None:
        """Raise RequestRefused for a coding that is not supported."""
        self._coding = content_encoding(request)
        self._decoder = None if self._coding == IDENTITY else _decoder(self._coding)

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Yield pieces of the content, each of at most PIECE bytes. Raises RequestRefused."""
        if self._decoder is None:
            yield block
            return
        more = bool(block)
        while more:
            if self._decoder.eof:
                raise _cut(self._coding, ended=True)
            try:
                piece = self._decoder.decompress(block, PIECE)
            except (zlib.error, zstd.ZstdError):
                raise _invalid(self._coding) from None
            block = getattr(self._decoder, "unconsumed_tail", b"")  # zstd keeps it itself
            more = not self._decoder.eof and (bool(block) or len(piece) == PIECE)
            if piece:
                yield piece

    def end(self) -> None:
        """Raise RequestRefused if the body was not whole."""
        if self._decoder is not None:
            _check_end(self._decoder, self._coding)


def _decoder(coding: str) -> Any:
    return zlib.decompressobj(_WBITS[coding]) if coding in _WBITS else zstd.ZstdDecompressor(options=_BOUNDED)


def _invalid(coding: str) -> RequestRefused:
    detail = (
        f"The body is not valid {coding}, which Content-Encoding names; compress it again, or send it uncompressed."
    )
    return RequestRefused(ProblemKind.INVALID_INPUT, detail)


def _check_end(decoder: Any, coding: str) -> None:
    if not decoder.eof or decoder.unused_data:
        raise _cut(coding, ended=decoder.eof)


def _cut(coding: str, *, ended: bool) -> RequestRefused:
    fault = "something follows its end; send one stream" if ended else "it is cut off; send all of it"
    return RequestRefused(ProblemKind.INVALID_INPUT, f"The body is not {coding}: {fault}.")


_WBITS = {GZIP: 31, "deflate": 15}  # zlib's window bits, which tell it the format
_BOUNDED: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW.bit_length() - 1}


class Compressor:
    """Compresses one response, part by part."""

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self._zstd = zstd.ZstdCompressor() if coding == ZSTD else None
        self._gzip = None if self._zstd else zlib.compressobj(GZIP_LEVEL, wbits=31)

    def compress(self, part: bytes) -> bytes:
        """Return what can be sent of it already."""
        if self._zstd is not None:
            return self._zstd.compress(part, zstd.ZstdCompressor.FLUSH_BLOCK)
        assert self._gzip is not None  # noqa: S101
        return self._gzip.compress(part)

    def flush(self) -> bytes:
        """Return the end."""
        if self._zstd is not None:
            return self._zstd.flush(zstd.ZstdCompressor.FLUSH_FRAME)
        assert self._gzip is not None  # noqa: S101
        return self._gzip.flush()


def accepted_coding(request: ApiRequest) -> str | None:
    """Return the best coding that the client accepts: zstd before gzip; None where it accepts none of them."""
    asked = request.header(b"accept-encoding")
    if asked is None:
        return None
    wanted = dict(_weighed(one) for one in asked.lower().split(","))
    return next((coding for coding in (ZSTD, GZIP) if wanted.get(coding, 0) > 0), None)


def _weighed(item: str) -> tuple[str, float]:
    name, _, parameters = item.partition(";")
    key, _, value = parameters.partition("=")
    try:
        weight = float(value[:6]) if key.strip() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return name.strip(), weight


async def compress(request: ApiRequest, response: Response) -> None:
    """Compress a response whose body is large (WORTH), where the client asks for it; a stream compresses itself."""
    coding = accepted_coding(request)
    if coding is not None:
        response.body = await asyncio.to_thread(_compressed, bytes(response.body), coding)
        response.headers["content-encoding"] = coding
        response.headers["content-length"] = str(len(response.body))
    response.headers.add_vary_header("Accept-Encoding")


def _compressed(body: bytes, coding: str) -> bytes:
    compressor = Compressor(coding)
    return compressor.compress(body) + compressor.flush()
