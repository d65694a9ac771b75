"""Reads a body of many inputs in any format that submissions take: JSON, NDJSON, CSV, TSV, an Arrow IPC stream."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
from pydantic import ValidationError

from handler.http.body import JSON, BodyReader, charset, content_type, parse_json, with_integers
from handler.http.request import ApiRequest
from handler.pointer import pointer
from handler.problems import MAX_FIELD_ERRORS, ProblemKind, RequestRefused
from handler.submit import validation
from handler.submit.arrow_table import read_arrow
from handler.submit.csv_table import read_csv
from handler.submit.table import Table
from handler.submit.validation import ValidInputs, locate_in_array, locate_single
from serving import columnar, wire
from serving.contract import Manifest, Spec

NDJSON, CSV, TSV, ARROW = (
    "application/x-ndjson",
    "text/csv",
    "text/tab-separated-values",
    "application/vnd.apache.arrow.stream",
)

FORMATS = {
    **{kind: kind for kind in (JSON, NDJSON, CSV, TSV, ARROW)},
    **dict.fromkeys(("application/ndjson", "application/jsonl", "application/x-jsonlines"), NDJSON),
}
"""The format that each content type names."""

T = TypeVar("T")

SMALL = 4_096
"""Bytes up to which a body is parsed on the event loop: a thread would take longer."""

MAX_ERRORS = 5
"""Errors that are kept of one rejected row."""


class Sifted(NamedTuple):
    """The rows that can be scored, and what is wrong with the others."""

    inputs: ValidInputs | None
    """None: every row is rejected."""
    rejected: dict[int, list[dict[str, str]]]
    """By position: errors with `detail` and `pointer`, the place in the row."""


async def read_inputs(request: ApiRequest, bodies: BodyReader, spec: Spec, manifest: Manifest) -> ValidInputs:
    """Read inputs, of which all must be valid. Raises RequestRefused."""
    return await _used(request, bodies, partial(accepted, spec, manifest), here=(JSON,))


async def read_sifted(request: ApiRequest, bodies: BodyReader, spec: Spec, manifest: Manifest) -> Sifted:
    """Read inputs, and reject those that are not valid. Raises RequestRefused where there are no rows to look at."""
    return await _used(request, bodies, partial(sifted, spec, manifest))


async def _used(
    request: ApiRequest, bodies: BodyReader, use: Callable[[str, bytes, str], T], here: tuple[str, ...] = ()
) -> T:
    body = await bodies.read_as(request, *FORMATS)
    kind = FORMATS[content_type(request)]
    if len(body) < SMALL or kind in here:
        return use(kind, body, charset(request))
    return await asyncio.to_thread(use, kind, body, charset(request))


def accepted(spec: Spec, manifest: Manifest, kind: str, body: bytes, encoding: str) -> ValidInputs:
    """Return the inputs of a body in one of the FORMATS, of which all must be valid. Raises RequestRefused."""
    if kind in (JSON, NDJSON):
        return _json(spec, manifest, kind, body)
    return _of_table(spec, manifest, _table(spec, kind, body, encoding))


def _json(spec: Spec, manifest: Manifest, kind: str, body: bytes) -> ValidInputs:
    try:
        rows = _decoded(spec, kind, body)
    except ValueError:
        return validation.validate(spec, manifest, _values(spec, kind, body), locate_in_array)
    if not rows:
        raise _empty()
    validation.check_count(spec, len(rows))
    validation.run_check(spec, manifest, rows, locate_in_array)
    few_lines = kind == NDJSON and len(rows) < wire.MANY  # the fast decoder lets a row stand on several lines
    array = msgspec.json.encode(rows) if few_lines else body
    return ValidInputs(wire.pack(spec, rows, array), len(rows))


def _decoded(spec: Spec, kind: str, body: bytes) -> list[Any]:
    """Decode the rows with the fast twin of the schema. Raises ValueError."""
    if kind == JSON:
        return wire.decoder(spec).decode(body)
    return wire.decoder(spec).decode_lines(body)


def _values(spec: Spec, kind: str, body: bytes) -> list[Any]:
    """Return the rows as JSON has them. Raises RequestRefused."""
    if kind == NDJSON:
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip()]
        validation.check_count(spec, len(lines))
        return [_line(number, line) for number, line in lines]
    value = parse_json(body)
    if not isinstance(value, list):
        detail = "The body must be a JSON array of inputs; wrap a single one in [ ]."
        raise RequestRefused(ProblemKind.INVALID_INPUT, detail)
    return value


def _line(number: int, line: bytes) -> Any:
    try:
        return parse_json(line)
    except RequestRefused as refused:
        detail = refused.detail.replace("The body", f"Line {number}").replace("(line 1, ", "(")
        raise RequestRefused(ProblemKind.INVALID_JSON, detail) from None


def _table(spec: Spec, kind: str, body: bytes, encoding: str) -> Table:
    if kind == ARROW:
        return read_arrow(body, spec)
    return read_csv(body, encoding, "\t" if kind == TSV else None, spec)


def _of_table(spec: Spec, manifest: Manifest, table: Table) -> ValidInputs:
    if not table.n_rows:
        raise _empty()
    validation.check_count(spec, table.n_rows)
    validation.refuse_invalid(
        [{"detail": detail, "pointer": f"#/{row}"} for row, detail in table.faults.items()][: MAX_FIELD_ERRORS + 1]
    )
    try:
        columns = columnar.validate(spec, table.columns, table.n_rows)
    except ValueError:
        return validation.validate_with_pydantic(spec, manifest, with_integers(list(table.rows())), locate_in_array)
    validation.check_columns(spec, manifest, columns, locate_in_array)
    return ValidInputs(columnar.pack(spec, columns, table.n_rows), table.n_rows)


def sifted(spec: Spec, manifest: Manifest, kind: str, body: bytes, encoding: str) -> Sifted:
    """Return the inputs that are valid, and reject the others. Raises RequestRefused where there are no rows."""
    table = None if kind in (JSON, NDJSON) else _table(spec, kind, body, encoding)
    try:
        return Sifted(_of_table(spec, manifest, table) if table else _json(spec, manifest, kind, body), {})
    except RequestRefused as refused:
        if not refused.errors:
            raise
    values = with_integers(list(table.rows()) if table else _values(spec, kind, body))
    rejected = {row: [{"detail": detail, "pointer": "#"}] for row, detail in (table.faults if table else {}).items()}
    return _sift(spec, manifest, values, rejected)


def _sift(spec: Spec, manifest: Manifest, values: Sequence[Any], rejected: dict[int, list[dict[str, str]]]) -> Sifted:
    kept: dict[int, Any] = {}
    for position, value in enumerate(values):
        if position not in rejected:
            try:
                kept[position] = validation.validated_row(spec, value, MAX_ERRORS)
            except ValidationError as error:
                found = validation.field_errors(error, spec.input, partial(locate_single, 0))
                rejected[position] = found[:MAX_ERRORS]
    if kept and spec.check is not None:
        positions = list(kept)
        for fault in list(spec.check(wire.columns(spec, list(kept.values())), manifest)):
            errors = rejected.setdefault(positions[fault.position], [])
            errors.append({"detail": fault.detail, "pointer": pointer((spec.public_names[fault.field],))})
        kept = {position: row for position, row in kept.items() if position not in rejected}
    if not kept:
        return Sifted(None, rejected)
    rows = list(kept.values())
    payload = wire.pack(spec, rows, wire.validator(spec).dump_json(rows, by_alias=True))
    return Sifted(ValidInputs(payload, len(rows)), rejected)


def _empty() -> RequestRefused:
    return RequestRefused(ProblemKind.INVALID_INPUT, "The body has no inputs; send at least one.")
