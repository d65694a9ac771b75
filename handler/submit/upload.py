"""Takes a whole file as the body of one request, and cuts it into the parts of a job while it arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from time import monotonic

from millrace_client.records import Part, RecordSplitter, RecordTooLarge

from handler.answer.listing import Admission
from handler.http.body import BodyReader
from handler.http.compression import Inflater
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.submit.batches import NDJSON, TSV
from handler.submit.csv_table import require_text
from serving.contract import Spec

SLOWEST = 1024
"""Bytes a second that a file must bring, on the average, once it has had BODY_TIMEOUT_SECONDS."""

HEAD = 16
"""Bytes that tell a file of another kind."""

_UPLOADS = Admission("files", of_client=2, of_all=4)
"""Each holds a part or two in memory, beside what other bodies may take."""


def admit(request: ApiRequest) -> AbstractContextManager[None]:
    """Count an upload while the block lasts. Raises RequestRefused where there are too many."""
    _UPLOADS.check(request.caller.client)
    return _UPLOADS.count(request.caller.client)


async def parts_of(request: ApiRequest, bodies: BodyReader, kind: str, spec: Spec) -> AsyncIterator[Part]:
    """Yield the parts of a CSV, TSV or NDJSON file. Raises RequestRefused.

    Parts that were yielded before stay: the client may send the file again, and repeats them.
    """
    splitter = RecordSplitter(
        header=kind != NDJSON,
        max_records=spec.max_inputs,
        max_bytes=bodies.max_bytes,
        delimiter="\t" if kind == TSV else None,
    )
    inflater, stream = Inflater(request), request.stream()
    waited = received = 0.0
    head = b""
    try:
        while (block := await _next(stream, bodies)) is not None:
            content, seconds = block
            waited, received = waited + seconds, received + len(content)
            if waited > bodies.timeout.seconds and received < SLOWEST * waited:
                raise bodies.too_slow()
            for piece in inflater.feed(content):
                if len(head) < HEAD:
                    head += piece[:HEAD]
                    require_text(head)
                for part in await asyncio.to_thread(lambda piece=piece: list(splitter.feed(piece))):  # type: ignore[misc]
                    yield part
        inflater.end()
        for part in splitter.end():
            yield part
    except RecordTooLarge:
        detail = f"A row is over {bodies.max_bytes} bytes, or empty; a quote may be opened and never closed."
        raise RequestRefused(ProblemKind.INVALID_INPUT, detail) from None


async def _next(stream: AsyncIterator[bytes], bodies: BodyReader) -> tuple[bytes, float] | None:
    """Return a block, and how long it took to come; None at the end. Raises RequestRefused."""
    timed, start = bodies.timeout.start(), monotonic()
    try:
        block = await anext(stream, None)
    finally:
        if bodies.timeout.stop(timed):
            raise bodies.too_slow()
    return None if block is None else (block, monotonic() - start)
