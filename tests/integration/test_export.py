"""Exported days have the table's rows, each once and as it is, whatever happens on the way."""

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from pyarrow import parquet
from sqlalchemy import Engine, Table, make_url, text

from blobs.address import UnusableBlobUrl, usable
from export import days, manifest
from export.days import DayBusy, export_day, settled_until
from export.erasing import NotVerified, erase_rows
from export.manifest import DayManifest
from export.rounds import DELETING
from export.storage import Storage
from store.copying import copy
from store.engine import connect
from store.limits import try_lock
from tests.documented import blocks
from tests.exporting import COLUMNS, DAY, add, export, exported, fill, make_model, names, stored, today


@pytest.fixture
def table(engine: Engine) -> Table:
    return make_model(engine)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"{tmp_path.as_uri()}/exported"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def test_every_kind_of_value_comes_back_as_it_was(engine: Engine, table: Table, url: str, folder: Path) -> None:
    pick = random.Random(1)  # noqa: S311 - test data
    moment = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
    values: dict[str, list[Any]] = {
        "word": [None, "", "MSG", "plié ☃ 🎿", "x" * 5000, 'quote " \\ \t \n'],
        "number": [0, -(2**31), 2**31 - 1],
        "large": [None, 0, -(2**63), 2**63 - 1],
        "ratio": [None, 0.1, -0.5, 1.7e308, 5e-324, float("inf")],
        "flag": [None, True, False],
        "raw": [None, b"", b"\0\xff" * 3, bytes(5000)],
        "at": [None, moment, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
        "words": [None, [], ["a"], ["", "é☃", 'quote " {,}'], ["many"] * 1000],
        "ratios": [None, [], [0.1], [5e-324, -1.7e308], [1 / 3] * 1000],
    }
    rows = [{name: pick.choice(values[name]) for name, *_ in COLUMNS} for _ in range(500)]
    fixed = {
        "task_id": np.repeat(np.frombuffer(uuid4().bytes, "V16"), len(rows)),
        "position": np.arange(len(rows)),
        "model_version": ["1"] * len(rows),
    }
    with engine.begin() as connection:
        copy(connection, table, fixed | {name: [row[name] for row in rows] for name, *_ in COLUMNS})
        connection.execute(
            text(f"UPDATE {table.name} SET words = '{{a,NULL}}', ratios = '{{NULL,2}}' WHERE position = 7")
        )
        connection.execute(
            text(f"UPDATE {table.name} SET ratio = NULL, word = NULL, large = NULL WHERE position = 499")
        )
    assert names(export(engine, url)) == ["day_exported"]
    assert exported(folder) == stored(engine, table)


def test_a_nested_array_becomes_a_flat_one(engine: Engine, table: Table, url: str, folder: Path) -> None:
    fill(engine, table, today(engine), 1)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {table.name} SET words = '{{{{a,b}},{{c,d}}}}', ratios = '{{{{1,2,3}}}}'"))
    export(engine, url)
    (row,) = exported(folder)[today(engine)]
    assert row[9:11] == (["a", "b", "c", "d"], [1.0, 2.0, 3.0])


def test_the_file_has_the_types_of_the_table_and_its_comments(engine: Engine, table: Table, url: str) -> None:
    fill(engine, table, today(engine), 1)
    made = export_day(engine, url, "kinds", table.name, today(engine))
    schema = parquet.read_schema(Storage.at(url).path("kinds", made.day, "predictions.parquet"))
    assert [str(field.type) for field in schema] == [
        *("string", "int32", "string", "int32", "int64", "double", "bool", "binary", "timestamp[us, tz=UTC]"),
        *("list<element: string>", "list<element: double>", "string", "timestamp[us, tz=UTC]"),
    ]
    assert [field.name for field in schema] == list(made.columns) == [column.name for column in table.columns]
    assert [field.name for field in schema if not field.nullable] == [c.name for c in table.columns if not c.nullable]
    assert schema.field("word").metadata == {b"comment": b"what was said"}


def test_a_large_day_goes_in_row_groups_that_a_reader_and_we_can_hold(engine: Engine, table: Table, url: str) -> None:
    now = today(engine)
    fill(engine, table, now - DAY, 70_000)
    fill(engine, table, now, 40)
    with engine.begin() as connection:
        large = f"UPDATE {table.name} SET raw = convert_to(repeat('x', 1000000), 'utf8') WHERE scored_at >= :now"
        connection.execute(text(large), {"now": days.midnight(now)})
    export(engine, url)
    files = [parquet.ParquetFile(Storage.at(url).path("kinds", day, "predictions.parquet")) for day in (now - DAY, now)]
    groups = [[f.metadata.row_group(n).num_rows for n in range(f.num_row_groups)] for f in files]
    assert groups == [[65_536, 4_464], [17, 17, 6]]


def test_days_are_those_of_utc_and_only_what_has_changed_is_written_again(
    engine: Engine, table: Table, url: str, folder: Path
) -> None:
    now = today(engine)
    for ago in (400, 3, 2, 1, 0):
        fill(engine, table, now - ago * DAY, 10)
        with engine.begin() as connection:
            add(connection, table, days.midnight(now - ago * DAY))
            add(connection, table, days.midnight(now - (ago - 1) * DAY) - timedelta(microseconds=1))
    assert [(o.day, o.rows) for o in export(engine, url)] == [(now - ago * DAY, 12) for ago in (400, 3, 2, 1, 0)]
    assert exported(folder) == stored(engine, table)
    assert export(engine, url) == []
    fill(engine, table, now, 5, first=100)
    (outcome,) = export(engine, url)
    assert (outcome.event, outcome.day, outcome.rows) == ("day_exported", now, 17)


def test_today_can_be_left_until_it_is_over(engine: Engine, table: Table, url: str) -> None:
    fill(engine, table, today(engine), 10)
    fill(engine, table, today(engine) - DAY, 10)
    assert [outcome.day for outcome in export(engine, url, today=False)] == [today(engine) - DAY]


def test_a_late_row_is_exported_and_no_row_is_there_twice(engine: Engine, table: Table, url: str, folder: Path) -> None:
    yesterday = today(engine) - DAY
    fill(engine, table, yesterday, 20)
    with engine.connect() as late:
        add(late, table, days.midnight(yesterday) + timedelta(hours=23, minutes=59))
        export(engine, url)
        late.commit()
    (outcome,) = export(engine, url)
    assert (outcome.day, outcome.rows) == (yesterday, 21)
    assert exported(folder) == stored(engine, table)
    assert export(engine, url) == []


def test_no_time_is_settled_while_a_transaction_is_open_that_could_add_to_it(engine: Engine, table: Table) -> None:
    with engine.begin() as older:
        began = older.execute(text("SELECT now()")).scalar_one()
        with engine.begin() as connection:
            now, settled = settled_until(connection, table.name, timedelta(0))
    assert settled == began < now
    with engine.begin() as connection:
        now, settled = settled_until(connection, table.name, timedelta(0))
    assert settled == now


def test_a_day_that_was_exported_before_it_was_over_is_counted_however_old_it_is(
    engine: Engine, table: Table, url: str
) -> None:
    long_ago = today(engine) - 100 * DAY
    fill(engine, table, long_ago, 10)
    export(engine, url)
    made = manifest.read(url, "kinds", long_ago)
    assert made
    assert made.complete
    manifest.write(Storage.at(url), replace(made, complete=False))
    fill(engine, table, long_ago, 10, first=100)
    (outcome,) = export(engine, url)
    assert (outcome.day, outcome.rows) == (long_ago, 20)
    assert manifest.verified(url, "kinds", long_ago)


def test_a_day_is_written_once_more_when_it_is_over(engine: Engine, table: Table, url: str) -> None:
    day = today(engine) - 2 * DAY
    fill(engine, table, day, 10)
    fill(engine, table, today(engine), 10)
    export(engine, url)
    for one, complete in ((day, True), (today(engine), False)):
        made = manifest.read(url, "kinds", one)
        assert made
        assert made.complete == complete
        manifest.write(Storage.at(url), replace(made, complete=False))
    assert [outcome.day for outcome in export(engine, url)] == [day]
    made = manifest.verified(url, "kinds", day)
    assert made
    assert made.complete
    assert export(engine, url) == []


def test_an_account_that_only_reads_is_enough(
    engine: Engine, table: Table, database_url: str, url: str, folder: Path
) -> None:
    fill(engine, table, today(engine), 10)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE reads_for_export LOGIN PASSWORD 'secret' IN ROLE analyst"))
    account = make_url(database_url).set(username="reads_for_export", password="secret")
    reader = connect(account.render_as_string(hide_password=False))
    try:
        assert names(export(reader, url)) == ["day_exported"]
        assert exported(folder) == stored(engine, table)
    finally:
        reader.dispose()
        with engine.begin() as connection:
            connection.execute(text("DROP ROLE reads_for_export"))


def test_an_old_complete_day_is_looked_at_when_it_is_named(engine: Engine, table: Table, url: str) -> None:
    long_ago = today(engine) - 100 * DAY
    fill(engine, table, long_ago, 10)
    export(engine, url)
    fill(engine, table, long_ago, 10, first=100)
    assert export(engine, url) == []
    assert [outcome.rows for outcome in export(engine, url, only=long_ago)] == [20]


def test_a_file_keeps_the_rows_that_somebody_has_deleted(engine: Engine, table: Table, url: str, folder: Path) -> None:
    fill(engine, table, today(engine), 10)
    export(engine, url)
    before = exported(folder)
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {table.name} WHERE position > 3"))
    assert names(export(engine, url)) == ["day_kept"]
    assert exported(folder) == before
    export_day(engine, url, "kinds", table.name, today(engine))  # whoever means it
    assert exported(folder) == stored(engine, table)


@pytest.mark.parametrize("name", ["predictions.parquet", "_manifest.json"])
def test_a_day_without_its_file_or_its_manifest_is_written_again(
    engine: Engine, table: Table, url: str, folder: Path, name: str
) -> None:
    fill(engine, table, today(engine) - 9 * DAY, 10)
    export(engine, url)
    (file,) = folder.rglob(name)
    file.unlink()
    assert names(export(engine, url)) == ["day_exported"]
    assert manifest.verified(url, "kinds", today(engine) - 9 * DAY)


def test_a_manifest_describes_its_file_and_only_that(engine: Engine, table: Table, url: str, folder: Path) -> None:
    day = today(engine) - 9 * DAY
    assert (manifest.days(url, "kinds"), manifest.read(url, "kinds", day)) == ([], None)
    fill(engine, table, day, 10)
    with engine.begin() as connection:
        made = export_day(connection, url, "kinds", table.name, day)
    assert made == manifest.read(url, "kinds", day) == manifest.verified(url, "kinds", day)
    assert manifest.days(url, "kinds") == [day]
    assert (made.model, made.day, made.rows, made.complete) == ("kinds", day, 10, True)
    assert manifest.read(url, "other", day) is None
    (file,) = folder.rglob("predictions.parquet")
    content = file.read_bytes()
    for broken in (content[:-1], content[:99] + bytes([content[99] ^ 1]) + content[100:], b""):
        file.write_bytes(broken)
        assert manifest.verified(url, "kinds", day) is None
        assert names(export(engine, url)) == (["day_exported"] if len(broken) != len(content) else [])


def test_a_retired_model_and_a_table_with_a_column_of_another_type_are_exported(
    engine: Engine, table: Table, url: str, folder: Path
) -> None:
    fill(engine, table, today(engine), 2)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN price numeric DEFAULT 1.50, DROP COLUMN flag"))
    assert names(export(engine, url)) == ["day_exported"]
    (file,) = folder.rglob("predictions.parquet")
    read = parquet.ParquetFile(file).read()
    assert read["price"].to_pylist() == ["1.50"] * 2
    assert "flag" not in read.column_names


def test_one_model_that_fails_keeps_no_other_from_its_export(engine: Engine, table: Table, url: str) -> None:
    gone = make_model(engine, "another")
    fill(engine, table, today(engine), 2)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {gone.name}"))
    failed, done = export(engine, url, "another", "kinds")
    assert (failed.event, failed.model, failed.day) == ("day_failed", "another", None)
    assert failed.reason == "The database's schema does not fit this release: its migrations have not run"
    assert done.event == "day_exported"


def test_two_exporters_do_each_day_once(engine: Engine, table: Table, url: str, folder: Path) -> None:
    fill(engine, table, today(engine), 10)
    reached, go_on, made = threading.Event(), threading.Event(), list[DayManifest]()

    def wait(_: int) -> None:
        reached.set()
        go_on.wait(20)

    def first() -> None:
        made.append(export_day(engine, url, "kinds", table.name, today(engine), progress=wait))

    thread = threading.Thread(target=first)
    thread.start()
    reached.wait(20)
    assert names(export(engine, url)) == ["day_busy"]
    with pytest.raises(DayBusy):
        export_day(engine, url, "kinds", table.name, today(engine))
    go_on.set()
    thread.join()
    assert made == [manifest.verified(url, "kinds", today(engine))]
    assert export(engine, url) == []


def test_nothing_is_exported_while_another_program_deletes(engine: Engine, table: Table, url: str) -> None:
    fill(engine, table, today(engine), 10)
    with engine.begin() as deleting:
        assert try_lock(deleting, DELETING)
        assert names(export(engine, url)) == ["day_busy"]
        export_day(engine, url, "kinds", table.name, today(engine))  # which the one who deletes may do
    assert export(engine, url) == []


def test_rows_are_erased_from_a_file_whose_rows_the_table_has_no_more(
    engine: Engine, table: Table, url: str, folder: Path
) -> None:
    day = today(engine) - 9 * DAY
    fill(engine, table, day, 70_000)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {table.name} SET word = NULL WHERE position = 3"))
        connection.execute(text(f"UPDATE {table.name} SET word = 'ada' WHERE position IN (7, 69999)"))
    export(engine, url)
    made = erase_rows(engine, url, "kinds", day, "word", "ada")
    assert made == manifest.verified(url, "kinds", day)
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {table.name} WHERE word = 'ada'"))
    assert exported(folder) == stored(engine, table)
    assert erase_rows(engine, url, "kinds", day, "number", 12).rows == 69_997
    with pytest.raises(NotVerified):
        erase_rows(engine, url, "kinds", day - DAY, "word", "ada")
    with pytest.raises(KeyError):
        erase_rows(engine, url, "kinds", day, "name", "ada")
    assert manifest.verified(url, "kinds", day)


def test_a_failure_in_the_middle_leaves_the_day_as_it_was(engine: Engine, table: Table, url: str, folder: Path) -> None:
    day = today(engine) - DAY
    fill(engine, table, day, 10)
    export(engine, url)
    before = exported(folder), manifest.verified(url, "kinds", day)
    fill(engine, table, day, 70_000, first=100)

    def fail(_: int) -> None:
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        export_day(engine, url, "kinds", table.name, day, progress=fail)
    assert before == (exported(folder), manifest.verified(url, "kinds", day))
    assert sorted(file.name for file in folder.rglob("*") if file.is_file()) == [
        "_manifest.json",
        "predictions.parquet",
    ]
    assert [outcome.rows for outcome in export(engine, url)] == [70_010]


def test_duckdb_and_polars_read_the_folder(engine: Engine, table: Table, url: str, folder: Path) -> None:
    for ago in (1, 0):
        fill(engine, table, today(engine) - ago * DAY, 10 + ago)
    export(engine, url)
    glob = f"{folder}/model=*/day=*/predictions.parquet"
    counted = duckdb.sql(
        f"SELECT model, day, count(*), max(ratio), any_value(words) FROM '{glob}' GROUP BY ALL ORDER BY day"
    )
    assert counted.fetchall() == [
        ("kinds", today(engine) - DAY, 11, 10 / 7, ["a", "b0"]),
        ("kinds", today(engine), 10, 9 / 7, ["a", "b0"]),
    ]
    frame = pl.scan_parquet(glob, hive_partitioning=True).collect()
    assert frame.height == 21
    assert frame.schema["scored_at"] == pl.Datetime("us", "UTC")
    assert len(pd.read_parquet(folder)) == 21  # as Spark and Athena do, which take whatever has no underscore
    assert frame["day"].unique().sort().to_list() == [today(engine) - DAY, today(engine)]


def test_the_queries_of_the_guide_run(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = "task_id, position, abuse_type, report_text_len, profile_rating, popularity, lifetime_matches_created"
    values = ":id, 0, 'MSG', 120, 4.2, 3, 57, 0.5, '1.0.0', now() - :age * interval '1 day'"
    row = f"INSERT INTO report_scores ({columns}, score, model_version, scored_at) VALUES ({values})"
    with engine.begin() as connection:
        for age in (0, 0, 1):
            connection.execute(text(row), {"id": uuid4(), "age": age})
    export(engine, f"{tmp_path.as_uri()}/exported", "report_scorer")
    found = dict(blocks("docs/how-to/export.md"))
    assert duckdb.sql(found["sql"]).fetchall() == [
        (today(engine) - DAY, "1.0.0", 1, 0.5),
        (today(engine), "1.0.0", 2, 0.5),
    ]
    *program, last = found["python"].strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(program), names)  # noqa: S102 - our own page
    assert eval(last, names).rows() == [(today(engine) - DAY, 1), (today(engine), 2)]  # noqa: S307


@pytest.mark.parametrize(
    "url",
    [
        *(
            "/exported",
            "file://exported",
            "file:exported",
            "s3:///folder",
            "ftp://host/folder",
            "s3://key:secret@bucket/",
        ),
        *("s3://bucket/*", "gs://bucket/a?b", "https://bucket/", "", "s3://[bucket"),
        *("file:///", "file:///a::http://host/x", "s3://b/x::file:///etc"),
    ],
)
def test_a_url_that_names_no_place_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(UnusableBlobUrl, match=r"^it must") as refused:
        usable(url)
    assert "secret" not in str(refused.value)
