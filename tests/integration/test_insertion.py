"""Few rows, inserted by the statement that ends their tasks, are what COPY would have stored."""

import math
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, MetaData, Table, select, text

from store.copying import copy
from store.insertion import as_json, inserting
from store.predictions import predictions_table

COLUMNS = [
    ("word", "text", True),
    ("number", "integer", False),
    ("large", "bigint", True),
    ("ratio", "double", True),
    ("flag", "boolean", False),
    ("moment", "timestamp", True),
    ("words", "text[]", True),
    ("ratios", "double[]", False),
]
NOON = datetime(2026, 2, 3, 12, 0, 0, 123456, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {
        "word": None,
        "number": 0,
        "large": None,
        "ratio": None,
        "flag": True,
        "moment": None,
        "words": None,
        "ratios": [],
    },
    {
        "word": 'plié ☃ " \\ \t \n',
        "number": -(2**31),
        "large": 2**63 - 1,
        "ratio": 0.1,
        "flag": False,
        "moment": NOON,
        "words": ["", 'é☃ " {,}'],
        "ratios": [5e-324, -1.7e308, 0.1],
    },
    {
        "word": "",
        "number": 2**31 - 1,
        "large": -(2**63),
        "ratio": 5e-324,
        "flag": True,
        "moment": NOON,
        "words": [],
        "ratios": [1.0],
    },
]


@pytest.fixture
def table(engine: Engine) -> Table:
    metadata = MetaData()
    table = predictions_table("inserted", COLUMNS, metadata)
    metadata.create_all(engine)
    return table


def _stored(connection: Connection, table: Table) -> list[dict[str, Any]]:
    found = connection.execute(select(table).order_by(table.c.position)).mappings().all()
    return [{name: value for name, value in row.items() if name not in ("task_id", "scored_at")} for row in found]


def _insert(connection: Connection, table: Table, columns: dict[str, Any], ended: object) -> None:
    statement = f"WITH ended AS (SELECT CAST(:id AS uuid) AS id) {inserting(table, list(columns))}"
    connection.execute(text(statement.replace(":rows", "CAST(:rows AS json)")), {"id": ended, "rows": as_json(columns)})


def test_an_inserted_row_is_the_copied_one(engine: Engine, table: Table) -> None:
    task_id = uuid4()
    columns: dict[str, Any] = {
        "position": np.arange(len(ROWS)),
        **{name: [row[name] for row in ROWS] for name, *_ in COLUMNS},
        "model_version": ["1"] * len(ROWS),
    }
    with engine.connect() as connection:
        copy(connection, table, {"task_id": np.repeat(np.frombuffer(task_id.bytes, "V16"), len(ROWS)), **columns})
        copied = _stored(connection, table)
        connection.rollback()
        _insert(connection, table, {"task_id": [str(task_id)] * len(ROWS), **columns}, task_id)
        assert _stored(connection, table) == copied
        assert [{name: row[name] for name, *_ in COLUMNS} for row in copied] == ROWS


def test_only_rows_of_tasks_that_ended_are_stored(engine: Engine, table: Table) -> None:
    ended, lost = uuid4(), uuid4()
    row = {name: [ROWS[0][name]] * 2 for name, *_ in COLUMNS}
    columns = {"task_id": [str(ended), str(lost)], "position": [0, 0], **row, "model_version": ["1"] * 2}
    with engine.connect() as connection:
        _insert(connection, table, columns, ended)
        assert list(connection.execute(select(table.c.task_id)).scalars()) == [ended]


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", np.float64("nan")])
def test_what_json_cannot_say_is_left_to_copy(value: object) -> None:
    assert as_json({"ratio": [0.5, value]}) is None


def test_numbers_of_numpy_are_numbers() -> None:
    assert as_json({"one": np.array([0.1]), "other": [np.int64(3)]}) == '[{"one": 0.1, "other": 3}]'
