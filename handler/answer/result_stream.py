"""Streams rows of predictions, page by page: constant memory, no connection while the client reads."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from handler.answer.listing import Admission
from handler.answer.row_formats import Writer, writer
from handler.auth.caller import Caller
from handler.http.compression import Compressor, accepted_coding
from handler.http.request import ApiRequest
from handler.models import KnownModel
from store import outage, result_rows
from store.result_rows import RowSource, Shape

log = structlog.get_logger(__name__)

CONNECTIONS = 2
"""So many pages are read at the same time."""

MAX_OF_CLIENT, MAX_OF_ALL = 4, 16
"""Streams at once, of one client and of all: each keeps a page in memory for as long as its client does not read."""

STALLED = 120.0
"""Seconds that a client may take to read a part."""

PAGE_BYTES = 2**21
"""What a page is meant to be; a single task may be larger, by as much as MAX_BODY_BYTES lets in."""

PAGE_TASKS, PAGE_INPUTS = 256, 50_000
"""Tasks and inputs in a page, at most."""

FIRST_INPUTS = 200
"""Inputs in the first page, before it is known how long a row is."""

ATTEMPTS, PAUSE = 5, 1.0
"""How often a page is read anew while PostgreSQL is away, once a stream has begun, and the seconds between."""

PLACE = {"model_version": "model_version", "scored_at": "scored_at", "task_id": "task_id", "position": "position"}


def shape_of(
    model: KnownModel, caller: Caller, *, numbered: bool = False, details: bool = True, inputs: bool = True
) -> Shape:
    """Return the columns that the caller may see: inputs, outputs and, with `details`, where each row comes from."""
    spec = model.spec
    hidden = {*spec.personal, *([spec.key] if spec.key else [])} if caller.masked else set()
    given = [column.name for column in spec.input_columns if inputs or column.name == spec.key]
    columns = [name for name in (*given, *(column.name for column in spec.output_columns)) if name not in hidden]
    own = PLACE if details else {"model_version": "model_version"}
    taken = {*own, "row"}
    named = {name if (name := spec.public_names[column]) not in taken else f"{name}_": column for column in columns}
    return Shape(model.table, {**named, **own}, numbered)


class BoundedStream(StreamingResponse):
    """Gives up a client that does not read."""

    async def stream_response(self, send: Send) -> None:
        async def bounded(message: Message) -> None:
            async with asyncio.timeout(STALLED):
                await send(message)

        await super().stream_response(bounded)


class ResultStreams:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._admission = Admission("streams of rows", MAX_OF_CLIENT, MAX_OF_ALL)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection, in its turn, for looking up which tasks to read."""
        async with self._turns, self._engine.connect() as connection:
            yield connection

    def respond(
        self, request: ApiRequest, shape: Shape, media_type: str, sources: AsyncIterator[Sequence[RowSource]]
    ) -> Response:
        """Return the response that streams the rows of these tasks, in their order. Raises RequestRefused."""
        headers = {"Vary": "Accept, Accept-Encoding"}
        coding = accepted_coding(request)
        if coding is not None:
            headers["Content-Encoding"] = coding
        if request.method == "HEAD":
            return Response(None, headers=headers, media_type=media_type)
        client = request.caller.client
        self._admission.check(client)
        body = self._counted(client, self._body(writer(media_type, shape), shape, sources))
        return BoundedStream(_compressed(body, coding), headers=headers, media_type=media_type)

    def stream(self, client: str | None, body: AsyncIterator[bytes], media_type: str) -> Response:
        """Return the response that streams a body, as one of the streams that the client may read at once."""
        self._admission.check(client)
        return BoundedStream(self._counted(client, body), media_type=media_type)

    async def _counted(self, client: str | None, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        with self._admission.count(client):
            async for part in body:
                yield part

    async def _body(
        self, write: Writer, shape: Shape, sources: AsyncIterator[Sequence[RowSource]]
    ) -> AsyncIterator[bytes]:
        inputs, begun = FIRST_INPUTS, False
        yield write.start()
        async for group in sources:
            rest = list(group)
            while rest:
                size = _page_size(rest, inputs)
                page, rest = rest[:size], rest[size:]
                rows = await self._read(shape, page, write, begun)
                begun = True
                count = sum(source.n_inputs for source in page)
                inputs = min(PAGE_INPUTS, inputs * 4, max(1, count * PAGE_BYTES // max(1, len(rows))))
                if rows:
                    yield await asyncio.to_thread(write.page, rows)
        yield write.end()

    async def _read(self, shape: Shape, page: Sequence[RowSource], write: Writer, begun: bool) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._turns, self._engine.connect() as connection:
                    return await result_rows.read_page(connection, shape, page, write.form)
            except SQLAlchemyError as error:
                if not begun or attempt == ATTEMPTS or outage.reason(error) is None:
                    raise
                log.warning("stream_interrupted", attempt=attempt, error=str(error))
                await asyncio.sleep(PAUSE)
        raise AssertionError("unreachable")


def _page_size(sources: Sequence[RowSource], inputs: int) -> int:
    """Return how many tasks to read next: at least one, and one that lists its rows by itself."""
    size = total = 0
    for source in sources[:PAGE_TASKS]:
        total += source.n_inputs
        if size and (total > inputs or source.rows is not None):
            break
        size += 1
        if source.rows is not None:
            break
    return size


async def _compressed(body: AsyncIterator[bytes], coding: str | None) -> AsyncIterator[bytes]:
    compressor = Compressor(coding) if coding is not None else None
    async for part in body:
        sent = part if compressor is None else await asyncio.to_thread(compressor.compress, part)
        if sent:
            yield sent
    if compressor is not None:
        yield compressor.flush()
