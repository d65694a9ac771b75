"""Files are cut into whole records, and the same file always into the same parts."""

import csv
import io
import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_client import formats, reading, tables
from millrace_client.formats import FileFormat
from millrace_client.parts import CannotRead, Columns, FilePart
from millrace_client.records import Part, RecordSplitter, RecordTooLarge, layout

from tests.foreign_files import FOREIGN

CELLS = st.text(st.sampled_from('ab",;\n\r é'), max_size=8)


def cut(content: bytes, sizes: list[int], *, quoted: bool, max_records: int, max_bytes: int = 10_000) -> list[Part]:
    splitter = RecordSplitter(header=quoted, max_records=max_records, max_bytes=max_bytes)
    found, start = [], 0
    for size in [*sizes, len(content)]:
        found += splitter.feed(content[start : start + size])
        start += size
    return [*found, *splitter.end()]


@given(st.lists(st.tuples(CELLS, CELLS), max_size=30), st.lists(st.integers(0, 40), max_size=20), st.integers(1, 7))
def test_a_csv_is_cut_at_records_however_it_arrives(rows: list[Any], sizes: list[int], max_records: int) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("one", "two"), *rows])
    parts = cut(text.getvalue().encode(), sizes, quoted=True, max_records=max_records)
    back = [list(csv.reader(io.StringIO(part.body.decode(), newline=""))) for part in parts]
    assert all(one[0] == ["one", "two"] for one in back)
    assert [row for one in back for row in one[1:]] == [list(row) for row in rows]
    assert [part.n_records for part in parts] == [len(one) - 1 for one in back]
    assert parts == cut(text.getvalue().encode(), [], quoted=True, max_records=max_records)
    assert all(part.n_records == max_records for part in parts[:-1])


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=40), st.lists(st.integers(0, 30)))
def test_lines_are_cut_whatever_is_in_them(lines: list[bytes], sizes: list[int]) -> None:
    parts = cut(b"\n".join(lines), sizes, quoted=False, max_records=5, max_bytes=60)
    assert b"".join(part.body for part in parts) == b"".join(line + b"\n" for line in lines if line.strip())
    assert all(len(part.body) <= 60 and part.n_records <= 5 for part in parts)


def test_a_quote_that_is_never_closed_ends_the_reading() -> None:
    with pytest.raises(RecordTooLarge):
        cut(b'a,b\n"' + b"x\n" * 100_000, [], quoted=True, max_records=5)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'a,b\n1,2\n\n3,4\n5,"6\n7,8\n', "row 3 is"),
        (b"sep=,\na,b\n" + b"1,2\n" * 7 + b'"', "row 8 is"),
        (b'a,"b\n1,2\n', "the line of names is"),
        (b"a\n1\n" + b"x" * (tables.MAX_BYTES + 1), "row 2 is"),
    ],
)
def test_the_row_that_never_ends_is_named(content: bytes, where: str) -> None:
    with pytest.raises(CannotRead, match=f"^{where} too long for a request; a quote may be opened and never closed$"):
        parts(content, "rows.csv")


def parts(content: bytes, name: str, columns: Columns | None = None, **more: Any) -> list[FilePart]:
    form = formats.format_of(name)
    file = io.BytesIO(content)
    return list(reading.parts(file, form, columns or Columns(), max_rows=more.pop("max_rows", 3), **more))


ROWS = [{"a": number, "b": None if number == 2 else f'x"\n{number}'} for number in range(8)]


def rows_of(found: list[FilePart]) -> list[Any]:
    if found[0].content_type == "application/x-ndjson":
        return [json.loads(line) for part in found for line in part.body.splitlines()]
    return [row for part in found for row in pa.ipc.open_stream(part.body).read_all().to_pylist()]


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue()


def as_file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table, max_chunksize=2)
    return sink.getvalue()


def as_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as file:
        file.write_table(table, max_chunksize=5)
    return sink.getvalue()


TABLE = pa.Table.from_pylist(ROWS)
FILES = {
    "rows.json": json.dumps(ROWS, indent=2).encode(),
    "rows.ndjson": b"\n".join(json.dumps(row).encode() for row in ROWS),
    "rows.parquet": as_parquet(TABLE.set_column(1, "b", TABLE["b"].dictionary_encode())),
    "rows.arrow": as_file(TABLE),
    "rows.ipc": as_stream(TABLE),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_its_rows_in_parts(name: str) -> None:
    found = parts(FILES[name], name)
    assert [part.n_rows for part in found] == [3, 3, 2]
    assert rows_of(found) == ROWS


@pytest.mark.parametrize("name", FILES)
def test_columns_are_renamed_and_left_out(name: str) -> None:
    columns = Columns({"a": "number"}, {"number"}.__contains__)
    assert rows_of(parts(FILES[name], name, columns)) == [{"number": row["a"]} for row in ROWS]
    with (
        pytest.raises(CannotRead, match="no column 'z'")
        if name != "rows.json" and name != "rows.ndjson"
        else _nothing()
    ):
        parts(FILES[name], name, Columns({"z": "number"}))


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("kept", [None, {"c", "d"}.__contains__])
@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.csv", ";"), ("x.tsv", "\t")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_of_any_country_has_its_columns_renamed(name: str, delimiter: str, encoding: str, kept: Any) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("a", "b"), ("é", 'x"y'), ("", "2\n3"), ("00", "4")])
    columns = Columns({"a": "c", "b": "d"}, kept)
    found = parts(text.getvalue().encode(encoding), name, columns, encoding="cp1252" if encoding == "cp1252" else None)
    (part,) = found
    back = list(csv.reader(io.StringIO(part.body.decode(), newline=""), delimiter=delimiter))
    assert back == [["c", "d"], ["é", 'x"y'], ["", "2\n3"], ["00", "4"]]


@pytest.mark.parametrize("columns", [None, Columns({"a": "c"}), Columns({"a": "c"}, {"c", "d,d,d"}.__contains__)])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
@pytest.mark.parametrize("before", ["sep=;\n", '"sep=;"\r\n', "\n\nsep=;\n\n", "\ufeffSEP=;\n"])
def test_a_line_that_states_the_delimiter_is_in_every_part(before: str, name: str, columns: Columns | None) -> None:
    found = parts(f'{before}a;d,d,d\n1;"2;\n3"\n\n4;5\n'.encode(), name, columns, max_rows=1)
    assert [part.n_rows for part in found] == [1, 1]
    rows = []
    for part in found:
        text = part.body.decode()
        delimiter, start = layout(text)
        assert (delimiter, text[:start].strip().lower().strip('"')) == (";", "sep=;")
        names, *below = csv.reader(io.StringIO(text[start:], newline=""), delimiter=delimiter)
        assert names == ["c" if columns else "a", "d,d,d"]
        rows += below
    assert rows == [["1", "2;\n3"], ["4", "5"]]


@pytest.mark.parametrize(("content", "words"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.ndjson", "x.json"])
@pytest.mark.parametrize("columns", [None, Columns({"a": "b"})])
def test_a_file_of_another_kind_is_named_with_its_remedy(
    content: bytes, words: str, name: str, columns: Columns | None
) -> None:
    with pytest.raises(CannotRead, match=re.escape(f"the file is {words}")):
        parts(content, name, columns)


def test_a_text_that_begins_like_another_kind_of_file_is_a_text() -> None:
    for head in ("PAR1", "PK", "ARROW1", "PAR1\tx", "%PDF"):
        (part,) = parts(f"{head},b\n1,2\n".encode(), "x.csv")
        assert part.n_rows == 1


def test_a_message_shows_no_control_characters() -> None:
    with pytest.raises(CannotRead, match="no column 'z'") as refusal:
        parts(b"a\x1b[2J,b\n1,2\n", "x.csv", Columns({"z": "a"}))
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", b'{"a": 1}', "not a JSON array"),
        ("x.json", b'[{"a": 1}', "cut off"),
        ("x.parquet", b"PAR1 nonsense", "not a valid parquet file"),
        ("x.arrow", b"nonsense", "not a valid arrow file"),
        ("x.csv", b"\xff\xfe\x00", "truncated data"),
    ],
)
def test_what_is_no_such_file_is_said(name: str, content: bytes, words: str) -> None:
    with pytest.raises(CannotRead, match=words):
        parts(content, name)


def test_a_name_tells_the_format() -> None:
    assert formats.format_of("s3://bucket/a.b/rows.CSV.gz") == FileFormat("csv", "gzip")
    assert formats.format_of("rows.jsonl.zst") == FileFormat("ndjson", "zstd")
    assert formats.format_of("-", "csv") == FileFormat("csv")
    for name in ("rows", "-", "rows.xlsx", "rows.gz"):
        with pytest.raises(formats.UnknownFormat, match="one of csv"):
            formats.format_of(name)


def test_a_quote_inside_a_cell_is_a_character() -> None:
    content = b'a,b\n5" pipe,1\n"x\n""y",2\n,"3"\nz"",4\n'
    found = cut(content, [3, 3, 3], quoted=True, max_records=1)
    assert [part.body for part in found] == [
        *(b'a,b\n5" pipe,1\n', b'a,b\n"x\n""y",2\n', b'a,b\n,"3"\n', b'a,b\nz"",4\n'),
    ]


def test_a_row_of_the_wrong_length_stays_wrong_when_columns_are_left_out() -> None:
    (part,) = parts(b"note,a,b,c\nx,1,2,3\n4,5,6\n", "x.csv", Columns({}, {"a", "b", "c"}.__contains__))
    lengths = [len(row) for row in csv.reader(io.StringIO(part.body.decode()))]
    assert lengths == [3, 3, 4]


def test_two_columns_of_one_field_and_what_follows_an_array_are_refused() -> None:
    for name in ("rows.json", "rows.ndjson", "rows.parquet"):
        with pytest.raises(CannotRead, match="two columns are sent as 'b'"):
            parts(FILES[name], name, Columns({"a": "b"}))
    with pytest.raises(CannotRead, match="follows the end"):
        parts(b'[{"a": 1}][{"a": 2}]', "x.json")
