"""Rows in and out in every format: what goes in as CSV, NDJSON or Arrow is what goes in as JSON."""

import csv
import gzip
import io
import json
import random
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pyarrow as pa
import pytest
from backports import zstd

from models.image_classifier.examples import EIGHT
from store.keys import Role
from tests.conftest import NewClient
from tests.foreign_files import FOREIGN
from tests.running import Platform

NDJSON, CSV, TSV, ARROW = (
    *("application/x-ndjson", "text/csv", "text/tab-separated-values"),
    "application/vnd.apache.arrow.stream",
)
SUBMIT = "/models/report_scorer/submit"

REPORTS: list[dict[str, Any]] = [
    {
        "abuse_type": "MSG" if number % 3 else "PRF",
        "report_text_len": 100 + number,
        "profile_rating": 4.25 - number / 8,
        "popularity": number % 6,
        "lifetime_matches_created": number * 7,
        "report_id": None if number % 5 == 0 else f'00{number},"ü\n{number}"' if number == 3 else f"00{number}",
    }
    for number in range(12)
]
NAMES = list(REPORTS[0])


def as_csv(rows: Sequence[Mapping[str, Any]], delimiter: str = ",", null: str = "") -> str:
    text = io.StringIO()
    out = csv.writer(text, delimiter=delimiter)
    out.writerow(rows[0])
    for row in rows:
        cells = [null if value is None else value for value in row.values()]
        out.writerow(
            [str(cell).replace(".", ",") if delimiter == ";" and isinstance(cell, float) else cell for cell in cells]
        )
    return text.getvalue()


def as_arrow(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, **options) as stream:
        stream.write_table(table)
    return sink.getvalue()


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


BODIES: dict[str, tuple[str, bytes]] = {
    "NDJSON": (NDJSON, lines(REPORTS) + b"\n\n"),
    "NDJSON under another name": ("application/jsonl", lines(REPORTS)),
    "CSV": (CSV, as_csv(REPORTS).encode()),
    "CSV with a byte order mark": (CSV, b"\xef\xbb\xbf" + as_csv(REPORTS, null="NA").encode()),
    "CSV with semicolons and decimal commas": (CSV, as_csv(REPORTS, ";").encode()),
    "CSV with a line that states the separator": (CSV, b"\xef\xbb\xbfsep=;\r\n" + as_csv(REPORTS, ";").encode()),
    "CSV with one that states another": (CSV, ("\n\nsep=^\n" + as_csv(REPORTS, "^")).encode("utf-16")),
    "CSV with empty lines": (CSV, b"\n\n" + as_csv(REPORTS).replace("\r\nMSG", "\r\n\r\nMSG").encode() + b"\n\n"),
    "CSV in Windows' encoding": ("text/csv; charset=cp1252", as_csv(REPORTS).encode("cp1252")),
    "CSV in UTF-16": (CSV, as_csv(REPORTS).encode("utf-16")),
    "TSV": (TSV, as_csv(REPORTS, "\t").encode()),
    "Arrow": (ARROW, as_arrow(pa.Table.from_pylist(REPORTS))),
    "Arrow with other widths": (
        ARROW,
        as_arrow(
            pa.Table.from_pylist(REPORTS)
            .set_column(1, "report_text_len", pa.array([row["report_text_len"] for row in REPORTS], pa.float64()))
            .set_column(3, "popularity", pa.array([row["popularity"] for row in REPORTS], pa.int8()))
        ),
    ),
}


def rows_of(platform: Platform, task_id: str, kind: str = NDJSON, **headers: str) -> httpx.Response:
    answer = platform.client.get(f"/task/{task_id}", headers={"Accept": kind, "Prefer": "wait=55", **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)
    return answer


def parsed(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()] if answer.text else []


@pytest.mark.parametrize(("kind", "body"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("count", [3, 12])
def test_every_format_stores_what_json_stores(platform: Platform, kind: str, body: bytes, count: int) -> None:
    if count == 3 and kind != ARROW:  # a payload of few inputs has another form
        body = {NDJSON: lines(REPORTS[:3]), "application/jsonl": lines(REPORTS[:3])}.get(kind, body)
    submitted = platform.client.post(SUBMIT, content=body, headers={"Content-Type": kind})
    assert submitted.status_code == 202, submitted.text
    found = parsed(rows_of(platform, submitted.json()["task_id"]))
    expected = REPORTS[: len(found)]
    assert [{name: row[name] for name in NAMES} for row in found] == expected
    plain = platform.finished(platform.submit(*expected))
    assert [row["score"] for row in found] == plain["score"]


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("deflate", zlib.compress)]
)
def test_bodies_may_be_compressed_and_answers_are_where_that_is_asked(
    platform: Platform, coding: str, pack: Any
) -> None:
    many = REPORTS * 400
    headers = {"Content-Type": CSV, "Content-Encoding": coding}
    submitted = platform.client.post(SUBMIT, content=pack(as_csv(many).encode()), headers=headers)
    assert submitted.status_code == 202, submitted.text
    task_id = submitted.json()["task_id"]
    plain = rows_of(platform, task_id, **{"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert len(parsed(plain)) == len(many)
    asked = "gzip" if coding == "deflate" else coding
    with platform.client.stream(
        "GET", f"/task/{task_id}", headers={"Accept": NDJSON, "Accept-Encoding": asked}
    ) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == asked
    assert len(packed) < len(plain.content) / 4
    assert (gzip.decompress if asked == "gzip" else zstd.decompress)(packed) == plain.content
    with platform.client.stream("GET", f"/task/{task_id}", headers={"Accept-Encoding": asked}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == asked
    whole = json.loads((gzip.decompress if asked == "gzip" else zstd.decompress)(packed))
    assert whole["score"] == [row["score"] for row in parsed(plain)]


def test_a_stream_has_every_row_with_its_types(platform: Platform) -> None:
    task_id = platform.submit(*REPORTS)
    rows = parsed(rows_of(platform, task_id))
    assert list(rows[0]) == [*NAMES, "score", "model_version", "scored_at", "task_id", "position"]
    assert [row["position"] for row in rows] == list(range(12))
    table = pa.ipc.open_stream(rows_of(platform, task_id, ARROW).content).read_all()
    assert table.schema.field("report_text_len").type == pa.int32()
    assert table.schema.field("scored_at").type == pa.timestamp("us", tz="UTC")
    assert table.drop_columns(["scored_at"]).to_pylist() == [
        {name: value for name, value in row.items() if name != "scored_at"} for row in rows
    ]
    cells = list(csv.DictReader(io.StringIO(rows_of(platform, task_id, CSV).text)))
    assert [float(row["score"]) for row in cells] == [row["score"] for row in rows]
    assert [row["report_id"] or None for row in cells] == [row["report_id"] for row in rows]
    assert platform.client.head(f"/task/{task_id}", headers={"Accept": CSV}).status_code == 200


INPUTS: dict[str, list[dict[str, Any]]] = {
    "text_classifier": [{"text": 'Win a prize, "now"\n\\ \t; é 人'}, {"text": "hello"}],
    "translator": [{"text": "dog", "source": "en", "target": "ja"}],
    "image_classifier": [{"image": EIGHT}],
}


@pytest.mark.parametrize("model", INPUTS)
def test_a_stream_of_every_model_has_what_its_task_has(platform: Platform, model: str) -> None:
    card = platform.client.get(f"/models/{model}").json()
    inputs = INPUTS[model]
    submitted = platform.client.post(f"/models/{model}/submit", json=inputs)
    assert submitted.status_code == 202, submitted.text
    task = platform.finished(submitted.json()["task_id"])
    task_id = str(task["task_id"])
    rows = parsed(rows_of(platform, task_id))
    outputs = [name for name in card["output"]["properties"] if name in task]
    assert [{name: row[name] for name in outputs} for row in rows] == [
        {name: task[name][place] for name in outputs}
        for place in range(len(inputs))  # type: ignore[index]
    ]
    assert [{name: row[name] for name in inputs[0]} for row in rows] == inputs
    table = pa.ipc.open_stream(rows_of(platform, task_id, ARROW).content).read_all().to_pylist()
    for one, other in zip(table, rows, strict=True):
        for name in (*inputs[0], *outputs):
            value = b64encode(one[name]).decode() if isinstance(one[name], bytes) else one[name]
            assert value == other[name]


def test_rows_of_many_tasks_go_on_where_they_were_cut(platform: Platform) -> None:
    ids = [platform.submit(*REPORTS[: 1 + number % 4]) for number in range(30)]
    tasks = [platform.finished(task_id) for task_id in ids]
    since = min(str(task["submitted_at"]) for task in tasks)
    address = "/models/report_scorer/predictions"
    whole = parsed(platform.client.get(address, params={"submitted_after": since}))
    own = [row for row in whole if row["task_id"] in ids]
    assert [row["task_id"] for row in own] == [t for t, task in zip(ids, tasks, strict=True) for _ in task["score"]]  # type: ignore[attr-defined]
    rest = parsed(platform.client.get(address, params={"submitted_after": since, "after": ids[9]}))
    place = next(place for place, row in enumerate(whole) if row["task_id"] == ids[10])
    assert rest[: len(whole) - place] == whole[place:]
    named = parsed(platform.client.get(address, params={"task_ids": f"{ids[7]},{ids[2]}"}))
    assert [row["task_id"] for row in named] == [ids[7]] * 4 + [ids[2]] * 3


def test_nobody_streams_the_rows_of_another_client(new_client: NewClient) -> None:
    mine, other, reader = new_client(), new_client(), new_client(role=Role.READ)
    task_id = mine.post("/submit", json=REPORTS[:2]).json()["task_id"]
    address = f"/models/report_scorer/predictions?task_ids={task_id}"
    assert mine.get(f"/task/{task_id}", headers={"Prefer": "wait=55"}).json()["status"] == "SUCCESS"
    assert len(parsed(mine.get(address))) == 2
    for get in (address, f"/task/{task_id}"):
        refused = other.get(get, headers={"Accept": NDJSON})
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:millrace:problem:unknown-task")
    assert task_id not in other.get("/models/report_scorer/predictions").text
    masked = parsed(reader.get(address))
    assert len(masked) == 2
    assert "report_id" not in masked[0]  # the key may name a person


def refused(platform: Platform, kind: str, body: bytes, **headers: str) -> dict[str, Any]:
    answer = platform.client.post(SUBMIT, content=body, headers={"Content-Type": kind, **headers})
    assert answer.status_code in (413, 415, 422), answer.text
    problem: dict[str, Any] = answer.json()
    return problem


HEAD = ",".join(NAMES)
GOOD = "MSG,1,2.5,3,4,r"


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (CSV, "", "The body is empty"),
        (CSV, HEAD, "The body has no inputs"),
        (CSV, f"{HEAD},x\n{GOOD},1", "Unknown column 'x'; the columns are abuse_type"),
        (CSV, f"{HEAD},popularity\n{GOOD},1", "A column is repeated"),
        (CSV, f"{HEAD}\n{GOOD}\nMSG,1\n", "#/1: It has 2 cells"),
        (CSV, f'{HEAD}\nMSG,1,2.5,3,4,"r', "near line 2: a quote is opened and never closed"),
        (CSV, f'{HEAD}\n{GOOD}\n\n"MSG,1,2.5,3,4,r\n{GOOD}\n', "near line 4: a quote is opened and never closed"),
        (CSV, f'sep=,\n{HEAD}\n"MSG"x,1,2.5,3,4,r\n{GOOD}\n', "near line 3: a quote stands inside a cell"),
        (CSV, "sep=;\n", "The body is empty"),
        (CSV, f"sep=;\n{HEAD}\n{GOOD}", f"Unknown column '{HEAD[:64]}'"),
        (CSV, f"{HEAD}\nMSG,x,2.5,3,4,r", "#/0/report_text_len: Must be a whole number, not the string 'x'"),
        (CSV, f'{HEAD}\nMSG,1,"2,5",3,4,r', "#/0/profile_rating: Must be a number, not the string '2,5'"),
        (CSV, f"{HEAD}\nMSG,1,nan,3,4,r", "#/0/profile_rating: Must be a number, not the string 'nan'"),
        (CSV, f"{HEAD}\nMSG,1,1e999,3,4,r", "#/0/profile_rating: Must be a finite number"),
        (CSV, f"{HEAD}\nMSG,1.5,2,3,4,r", "#/0/report_text_len: Must be a whole number"),
        (CSV, f"{HEAD}\nMSG,,2,3,4,r", "#/0/report_text_len: Must be a whole number, not the string ''"),
        (CSV, f"{HEAD}\nMSG,1_0,2,3,4,r", "#/0/report_text_len: Must be a whole number"),
        (CSV, f"{HEAD}\nXXX,1,2,3,4,r", "#/0/abuse_type: Must be 'MSG' or 'PRF', not the string 'XXX'"),
        (CSV, f"{HEAD}\nMSG,1,2,9,4,r", "#/0/popularity: Must be at most 5, not 9"),
        (CSV, "abuse_type\nMSG", "#/0/report_text_len: Required field is missing"),
        (f"{CSV}; charset=latin-9x", f"{HEAD}\n{GOOD}", "The charset 'latin-9x' of the Content-Type is not supported"),
        (NDJSON, '{"abuse_type": 1}\n{', "Line 2 is not valid JSON"),
        (NDJSON, "[]", "#/0: Must be an object, not an array"),
        (NDJSON, "\n\n", "The body has no inputs"),
        ("application/xml", "<a/>", "Content-Type must be application/json or application/x-ndjson or text/csv"),
    ],
)
def test_a_body_that_is_wrong_is_refused_by_its_place(platform: Platform, kind: str, body: str, words: str) -> None:
    problem = refused(platform, kind, body.encode())
    said = [problem["detail"], *(f"{error['pointer']}: {error['detail']}" for error in problem.get("errors", ()))]
    assert any(words in one for one in said), said


@pytest.mark.parametrize(("content", "words"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("path", [SUBMIT, "/jobs?model=report_scorer&on_invalid=collect"])
def test_a_file_that_is_no_csv_is_named_with_its_remedy(
    platform: Platform, path: str, content: bytes, words: str
) -> None:
    answer = platform.client.post(path, content=content, headers={"Content-Type": CSV})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"].startswith(f"The body is {words}")
    assert answer.json()["detail"].isprintable()


def test_results_are_exact_even_where_a_spreadsheet_would_calculate(platform: Platform) -> None:
    keys = ["=1+1", "@x", "-2", "a;=1", "\t+1"]
    rows = [{**REPORTS[0], "report_id": key} for key in keys]
    task_id = platform.submit(*rows)
    found = rows_of(platform, task_id, CSV).text
    of_model = platform.client.get(f"/models/report_scorer/predictions?task_ids={task_id}", headers={"Accept": CSV})
    for text in (found, of_model.text):
        assert [row["report_id"] for row in csv.DictReader(io.StringIO(text, newline=""))] == keys


def test_a_csv_in_an_unnamed_encoding_is_refused(platform: Platform) -> None:
    problem = refused(platform, CSV, as_csv(REPORTS).encode("cp1252"))
    assert "text/csv; charset=cp1252" in problem["detail"]


def test_hostile_arrow_is_refused_without_being_unpacked(platform: Platform) -> None:
    table = pa.Table.from_pylist(REPORTS)
    for compression in ("zstd", "lz4"):
        packed = as_arrow(table, options=pa.ipc.IpcWriteOptions(compression=compression))
        assert "compressed buffers" in refused(platform, ARROW, packed)["detail"]
    encoded = table.set_column(0, "abuse_type", table["abuse_type"].dictionary_encode())
    assert "dictionary-encoded" in refused(platform, ARROW, as_arrow(encoded))["detail"]
    nested = pa.table({"abuse_type": [{"a": 1}]})
    assert "has the type struct" in refused(platform, ARROW, as_arrow(nested))["detail"]
    many = pa.table({"abuse_type": pa.nulls(20_000)})
    assert refused(platform, ARROW, as_arrow(many))["type"].endswith("too-many-inputs")
    assert "not a valid Arrow IPC stream" in refused(platform, ARROW, b"nonsense")["detail"]


def mutated(body: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)  # noqa: S311
    for _ in range(60):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.2 else changed)


@pytest.mark.parametrize("kind", [ARROW, CSV, NDJSON])
def test_a_damaged_body_is_the_clients_fault_or_valid(platform: Platform, kind: str) -> None:
    body = {ARROW: as_arrow(pa.Table.from_pylist(REPORTS)), CSV: as_csv(REPORTS).encode(), NDJSON: lines(REPORTS)}[kind]
    for changed in mutated(body, len(body)):
        answer = platform.client.post(SUBMIT, content=changed, headers={"Content-Type": kind})
        assert answer.status_code in (202, 422), (answer.text, changed)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, zlib.compress])
def test_a_small_body_that_unpacks_to_a_large_one_is_refused(platform: Platform, pack: Any) -> None:
    coding = {"gzip": "gzip", "zlib": "deflate"}.get(pack.__module__, "zstd")
    body = pack(bytes(40 * 2**20))
    problem = refused(platform, CSV, body, **{"Content-Encoding": coding})
    assert problem["type"].endswith("body-too-large")
    assert "cut off" in refused(platform, CSV, pack(b"a" * 9000)[:-5], **{"Content-Encoding": coding})["detail"]
    assert "not valid" in refused(platform, CSV, b"nonsense", **{"Content-Encoding": coding})["detail"]


def test_a_zstd_body_may_not_ask_for_much_memory(platform: Platform) -> None:
    wide = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=wide)
    body = packer.compress(b"a" * 1000) + packer.flush()
    assert "not valid zstd" in refused(platform, CSV, body, **{"Content-Encoding": "zstd"})["detail"]


def test_lists_that_cost_no_bytes_are_refused_before_they_are_made(platform: Platform) -> None:
    lists = pa.ListArray.from_arrays([0, 50_000_000], pa.nulls(50_000_000))
    problem = refused(platform, ARROW, as_arrow(pa.table({"abuse_type": lists})))
    assert "which its field does not take" in problem["detail"]
    for wrong in (pa.array([2**62], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "No/Where"))):
        assert "does not take" in refused(platform, ARROW, as_arrow(pa.table({"report_id": wrong})))["detail"]


@pytest.mark.parametrize("body", [json.dumps(REPORTS[0], indent=1), " ".join(map(json.dumps, REPORTS[:3]))])
def test_json_lines_that_are_none_are_stored_as_what_they_say(platform: Platform, body: str) -> None:
    headers = {"Content-Type": NDJSON, "Idempotency-Key": str(uuid4())}
    for _ in range(2):
        submitted = platform.client.post(SUBMIT, content=body.encode(), headers=headers)
        assert submitted.status_code == 202, submitted.text
    assert platform.finished(submitted.json()["task_id"])["status"] == "SUCCESS"


def test_what_would_take_hours_or_gigabytes_is_refused_at_once(platform: Platform) -> None:
    body = (HEAD + "\n" + "a" * 300_000).encode()
    for charset in ("punycode", "idna", "unicode_escape", "zlib"):
        assert "is not supported" in refused(platform, f"{CSV}; charset={charset}", body)["detail"]
    many = refused(platform, CSV, b"abuse_type\n" + b"1\n" * 2_000_000)
    assert many["type"].endswith("too-many-inputs")
    unknown = [{f"a{number}": 0 for number in range(60)} for _ in range(1_500)]
    address = "/models/report_scorer/validate"
    found = platform.client.post(address, json=unknown).json()
    assert (found["valid"], found["rejected"], len(found["rejects"])) == (0, 1_500, 100)
