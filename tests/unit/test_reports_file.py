"""Files as spreadsheets of any country save them: read, or refused with row, column and remedy."""

import codecs
from pathlib import Path

import polars as pl
import pytest

from models.report_scorer.reports_file import read_reports
from serving.training import BadTrainingData
from tests.foreign_files import FOREIGN

NAMES = "abuse_type,report_text_len,profile_rating,popularity,lifetime_matches_created,label"
ROW = "MSG,120,4.2,3,57,1"
GERMAN = f"{NAMES}\n{ROW.replace('4.2', '4|2')}\nPRF,7,3,2,1,0\n".replace(",", ";").replace("|", ",")
PLAIN = f"{NAMES}\n{ROW}\nPRF,7,3,2,1,0\n"

TAKEN = {
    "plain": PLAIN.encode(),
    "lines of Windows": PLAIN.replace("\n", "\r\n").encode(),
    "lines of an old Macintosh": PLAIN.replace("\n", "\r").encode(),
    "a byte order mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, big-endian": codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "semicolons and decimal commas": GERMAN.encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "tabs in UTF-16, as Excel's Unicode text": PLAIN.replace(",", "\t").encode("utf-16"),
    "a line that states the separator": b"sep=,\r\n" + PLAIN.encode(),
    "another line that states it": b'"sep=;"\n' + GERMAN.encode(),
    "Latin-1 in a column that is left alone": PLAIN.replace("label", "label,note")
    .replace(",1\n", ",1,café\n")
    .encode("latin-1"),
    "a name with a space": PLAIN.replace(",popularity", ", popularity ").encode(),
    "whole numbers with a point": PLAIN.replace(",3,57,", ",3.0,5.7e1,").encode(),
    "space around numbers": PLAIN.replace(",57,", ',"\u00a057 ",').encode(),
    "empty lines": f"\n{NAMES}\n\n{ROW}\n\n\nPRF,7,3,2,1,0\n\n\n".encode(),
    "empty lines of Windows": f"{NAMES}\n{ROW}\n\nPRF,7,3,2,1,0\n\n".replace("\n", "\r\n").encode(),
    "empty rows of a spreadsheet": f"{PLAIN},,,,,\n,,,,,\n".encode(),
    "another separator than the line of names seems to have": b"sep=;\n"
    + GERMAN.replace("label", "label;a,b,c,d,e,f,g").replace(";1\n", ";1;\n").replace(";0\n", ";0;\n").encode(),
    "space around labels": PLAIN.replace(",1\n", ", 1\n").replace(",0\n", ",\u00a00 \n").encode(),
    "labels with a decimal comma": GERMAN.replace(";1\n", ";1,0\n").replace(";0\n", ";0,0\n").encode(),
    "labels with a point": PLAIN.replace(",1\n", ",1.00\n").replace(",0\n", ",+0\n").encode(),
    "labels in words": PLAIN.replace(",1\n", ", True\n").replace(",0\n", ",FALSE\n").encode(),
    "quotes": PLAIN.replace("MSG", '"MSG"').replace("label", '"label"').encode(),
}


def test_the_weight_and_the_split_may_have_space_and_commas_too(tmp_path: Path) -> None:
    lines = GERMAN.replace("label", "label;weight;split").replace(";1\n", ";1; 2,5; train\n")
    (tmp_path / "reports.csv").write_text(lines.replace(";0\n", ";0;1;test \n"))
    data = read_reports(tmp_path / "reports.csv", "label", "weight", "split")
    assert data.weight is not None
    assert data.held_out is not None
    assert (data.weight.tolist(), data.held_out.tolist()) == ([2.5, 1.0], [False, True])


@pytest.mark.parametrize("kind", TAKEN)
def test_a_file_of_any_spreadsheet_is_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "reports.csv").write_bytes(TAKEN[kind])
    data = read_reports(tmp_path / "reports.csv", "label")
    assert data.label.tolist() == [1, 0]
    assert {name: values.tolist() for name, values in data.columns.items()} == {
        "abuse_type": ["MSG", "PRF"],
        "report_text_len": [120, 7],
        "profile_rating": [4.2, 3.0],
        "popularity": [3, 2],
        "lifetime_matches_created": [57, 1],
    }


REFUSED = {
    "nothing": (b"", "the file is empty"),
    "names alone": (NAMES.encode(), "there is no row below the names"),
    "a separator of thousands": (
        PLAIN.replace("4.2", "1,234.5").encode(),
        "row 1: it has 7 cells, the line of names has 6; put",
    ),
    "one in quotes": (
        PLAIN.replace("4.2", '"1,234.5"').encode(),
        "row 1, column profile_rating: '1,234.5' is not a number, as 1234.5; write",
    ),
    "one of a whole number": (
        PLAIN.replace("120", '"1,234"').encode(),
        "row 1, column report_text_len: '1,234' is not a whole number",
    ),
    "one that may be a decimal comma": (
        GERMAN.replace("4,2", "1,234").encode(),
        "column profile_rating: '1,234' is not a number",
    ),
    "German separators": (
        GERMAN.replace("4,2", "1.234,5").encode(),
        "column profile_rating: '1.234,5' is not a number",
    ),
    "a space for one": (
        PLAIN.replace("120", "1 200").encode(),
        "'1 200' is not a whole number, as 1234; write numbers",
    ),
    "a part": (PLAIN.replace(",3,57", ",3.5,57").encode(), "row 1, column popularity: '3.5' is not a whole number"),
    "too large to be exact": (
        PLAIN.replace(",57,", ",9007199254740993.0,").encode(),
        "'9007199254740993.0' is not a whole number",
    ),
    "an empty cell": (
        PLAIN.replace(",57,", ",,").encode(),
        "row 1, column lifetime_matches_created: the cell is empty",
    ),
    "a short row": (f"{PLAIN}MSG,120\n".encode(), "row 3, column"),
    "a column twice": (PLAIN.replace("label", "popularity,label").encode(), "column popularity comes twice"),
    "a quote without an end": (
        f'{PLAIN}\n"MSG,1,2,3,4,1\n{ROW}\n'.encode(),
        "malformed near line 5: a quote is opened and never closed",
    ),
    "a quote that the next one closes": (
        f'sep=,\n{PLAIN}"MSG,1,2,3,4,1\n"MSG",1,2,3,4,1\n'.encode(),
        "malformed near line 5: a quote stands inside a cell",
    ),
    "a quote in a cell": (
        f'{PLAIN}MS"G,1,2,3,4,1\n{ROW}\n'.encode(),
        "row 3, column abuse_type: Must be 'MSG' or 'PRF', not 'MS\"G'",
    ),
    "a line below empty ones": (
        f"{NAMES}\n\n{ROW}\n\nMSG,x,2,3,4,1\n".encode(),
        "row 4, column report_text_len: 'x' is not a whole number",
    ),
    "a report below empty lines": (f"{NAMES}\n\n\nMSG,1,2,9,4,1\n".encode(), "row 3, column popularity: Must be at"),
    "a separator alone": (b"sep=;\n", "the file is empty"),
    "a label that is none": (PLAIN.replace(",1\n", ",1.5\n").encode(), "row 1, column label: '1.5' is not a label"),
    "a word": (PLAIN.replace("MSG", "Msg").encode(), "row 1, column abuse_type: Must be 'MSG' or 'PRF', not 'Msg'"),
    "a file of another kind": (bytes(range(256)) * 9, "column abuse_type is missing; the file has"),
    **{kind: (content, f"this is {words}") for kind, (content, words) in FOREIGN.items()},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_wrong_is_refused_with_the_place_and_the_remedy(tmp_path: Path, kind: str) -> None:
    content, words = REFUSED[kind]
    (tmp_path / "reports.csv").write_bytes(content)
    with pytest.raises(BadTrainingData) as refusal:
        read_reports(tmp_path / "reports.csv", "label")
    assert words in str(refusal.value)
    assert str(refusal.value).isprintable()
    for foreign in ("Schema", "polars", "utf-8 sequence", "Input should", "parse", "ignore_errors", "dtype"):
        assert foreign not in str(refusal.value)


def test_the_ending_of_a_name_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "REPORTS.CSV").write_text(PLAIN)
    pl.read_csv(PLAIN.encode()).write_parquet(tmp_path / "REPORTS.PARQUET")
    for file in tmp_path.iterdir():
        assert read_reports(file, "label").label.tolist() == [1, 0]


def test_whole_numbers_of_a_parquet_column_with_a_point_are_read(tmp_path: Path) -> None:
    frame = pl.read_csv(PLAIN.encode()).with_columns(pl.col("popularity").cast(pl.Float64))
    frame.write_parquet(tmp_path / "reports.parquet")
    assert read_reports(tmp_path / "reports.parquet", "label").columns["popularity"].tolist() == [3, 2]
