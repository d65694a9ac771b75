"""Reads request bodies, bounded in size, memory and time, and writes response bodies."""

import asyncio
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.responses import Response

from handler.http.compression import IDENTITY, content_encoding, inflate
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from serving import wording

JSON = "application/json"
FORM = "multipart/form-data"

PROBLEMS = (
    *(ProblemKind.BODY_TOO_SLOW, ProblemKind.BODY_TOO_LARGE, ProblemKind.BACKLOG_FULL),
    ProblemKind.WRONG_CONTENT_ENCODING,
)
"""What reading a body raises."""

MEMORY_LIMIT = 128 * 2**20
"""Bytes of all bodies at once: while PostgreSQL stalls, the handler keeps every body that has arrived. Each may be in
memory twice for a while, as it came and as it is stored; the manifests give a handler 512 MiB."""

CHECK_INTERVAL = 1.0
"""Seconds between two searches for late bodies. A timer for each request would cost more than reading most bodies."""


class BodyMemory:
    """Bounds the memory that bodies take."""

    def __init__(self, max_body_bytes: int) -> None:
        self._limit = max(MEMORY_LIMIT, max_body_bytes)
        self._reserved: dict[asyncio.Task[Any], int] = {}
        self._total = 0

    def check(self, n_bytes: int) -> None:
        """Raise RequestRefused if there is no memory for so many bytes more, so that they need not be read first.

        They are not reserved yet: a client that announces a body and sends none takes no memory.
        """
        if self._total + n_bytes > self._limit:
            detail = f"The handler is processing {self._total} bytes of request bodies; try again in 1 s."
            raise RequestRefused(ProblemKind.BACKLOG_FULL, detail, headers={"Retry-After": "1"})

    def reserve(self, n_bytes: int) -> None:
        """Count bytes that have arrived until the request of the current task has ended. Raises RequestRefused."""
        self.check(n_bytes)
        task: Any = asyncio.current_task()
        if task not in self._reserved:
            self._reserved[task] = 0
            task.add_done_callback(self._release)
        self._reserved[task] += n_bytes
        self._total += n_bytes

    def _release(self, task: asyncio.Task[Any]) -> None:
        self._total -= self._reserved.pop(task)


class BodyTimeout:
    """Cancels the reading of bodies that do not arrive: each holds a connection and the memory of what has arrived."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()

    def start(self) -> asyncio.Task[Any]:
        """Cancel the current task if it does not stop within the time."""
        task: asyncio.Task[Any] | None = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._started[task] = asyncio.get_running_loop().time()
        return task

    def stop(self, task: asyncio.Task[Any]) -> bool:
        """End the time of the task, and return whether it was cancelled because it was late."""
        del self._started[task]
        if task not in self._late:
            return False
        self._late.remove(task)
        task.uncancel()
        return True

    async def run(self) -> None:
        """Search for late tasks until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            limit = asyncio.get_running_loop().time() - self.seconds
            for task in [task for task, start in self._started.items() if start < limit and task not in self._late]:
                self._late.add(task)
                task.cancel()


class BodyReader:
    def __init__(self, max_bytes: int, timeout_seconds: float) -> None:
        self.max_bytes = max_bytes
        self.memory = BodyMemory(max_bytes)
        self.timeout = BodyTimeout(timeout_seconds)

    async def read_as(self, request: ApiRequest, *content_types: str) -> bytes:
        """Return a body of one of these content types. Raises RequestRefused.

        The content type is required: browsers send other types across sites without asking the server first.
        """
        given = content_type(request)
        if given not in content_types:
            stated = f"not {given!r}" if given else "but the header is missing"
            detail = f"Content-Type must be {' or '.join(content_types)}, {stated}."
            raise RequestRefused(ProblemKind.WRONG_CONTENT_TYPE, detail)
        return await self.read(request)

    async def read(self, request: ApiRequest, most: int | None = None) -> bytes:
        """Return the body, whatever its content type, without the compression that it came in.

        It may have `most` bytes, where that is less than bodies may have in general. Raises RequestRefused for a body
        that is too large or for which there is no memory, before reading all of it, and for one that takes too long.
        """
        chunks = []
        limit = self.max_bytes if most is None else min(most, self.max_bytes)
        size = int(request.header(b"content-length") or 0)
        if size <= limit:
            self.memory.check(size)
            size = 0
            timed = self.timeout.start()
            try:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        break
                    self.memory.reserve(len(chunk))
                    chunks.append(chunk)
            finally:
                if self.timeout.stop(timed):
                    raise self.too_slow()
        if size > limit:
            remedy = "send several smaller submissions" if most is None else "send only the fields of the form"
            detail = f"The body is over {limit} bytes; {remedy}."
            raise RequestRefused(ProblemKind.BODY_TOO_LARGE, detail)
        body = b"".join(chunks)
        if b"content-encoding" in request.index and (coding := content_encoding(request)) != IDENTITY:
            body = await inflate(body, coding, limit)
            self.memory.reserve(len(body))
        return body

    def too_slow(self) -> RequestRefused:
        """Return the error for a body that does not arrive."""
        seconds = f"{self.timeout.seconds:g} s"
        detail = f"The body did not arrive within {seconds}; send a smaller submission, or use a faster connection."
        return RequestRefused(ProblemKind.BODY_TOO_SLOW, detail, headers={"Connection": "close"})


def content_type(request: ApiRequest) -> str:
    return (request.header(b"content-type") or "").partition(";")[0].strip().lower()


def charset(request: ApiRequest) -> str:
    """Return the charset that the content type names; empty where it names none."""
    _, _, parameters = (request.header(b"content-type") or "").partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"')
    return ""


def parse_json(body: bytes) -> Any:
    """Parse JSON, in which NaN and infinity may stand. Raises RequestRefused with what is wrong and where."""
    try:
        return from_json(body)
    except ValueError as error:
        fault = wording.syntax_error(str(error))
    if not body.strip():
        fault = "it is empty"
    elif body.startswith(_BYTE_ORDER_MARKS):
        fault = "it starts with a byte order mark; send UTF-8 without one"
    elif 0 in body[:2]:
        fault = "it is UTF-16 or UTF-32; send UTF-8"
    raise RequestRefused(ProblemKind.INVALID_JSON, f"The body is not valid JSON: {fault}.")


_BYTE_ORDER_MARKS = (BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)


def with_integers(value: Any) -> Any:
    """Return a JSON value with 3.0 and 3e0 as 3: for JSON Schema they are integers.

    From 2**53 on a float may stand for another number than the one that was written, and stays what it is.
    """
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < wording.EXACT else value
    if isinstance(value, list):
        return [with_integers(item) for item in value]
    if isinstance(value, dict):
        return {name: with_integers(item) for name, item in value.items()}
    return value


class JsonResponse(Response):
    """A response of JSON, at a tenth of the cost of a pydantic model: a task may hold 10,000 scores."""

    media_type = JSON

    def __init__(self, body: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.status_code = status
        self.background = None
        self.body = msgspec.json.encode(body)
        self.raw_headers = [  # without what Starlette does to find out headers that are known here
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]


def model_response(body: BaseModel | list[Any], status: int = 200) -> Response:
    """Respond with the models that describe the body in the OpenAPI document."""
    return Response(to_json(body), status, media_type=JSON)
