"""The binary COPY stream, read back by PostgreSQL itself."""

import random
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, MetaData, Table, select

from store.copying import copy
from store.predictions import predictions_table

COLUMNS = [
    ("word", "text", True),
    ("number", "integer", False),
    ("large", "bigint", True),
    ("ratio", "double", True),
    ("flag", "boolean", False),
    ("raw", "bytes", True),
    ("words", "text[]", True),
    ("ratios", "double[]", False),
]


@pytest.fixture
def table(engine: Engine) -> Table:
    metadata = MetaData()
    table = predictions_table("copied", COLUMNS, metadata)
    metadata.create_all(engine)
    return table


def written_and_read(engine: Engine, table: Table, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    task_id = uuid4()
    names = [name for name, *_ in COLUMNS]
    columns = {name: [row[name] for row in rows] for name in names}
    with engine.begin() as connection:
        fixed = {
            "task_id": np.repeat(np.frombuffer(task_id.bytes, "V16"), len(rows)),
            "position": np.arange(len(rows)),
            "model_version": ["1"] * len(rows),
        }
        copy(connection, table, fixed | columns)
        found = connection.execute(select(table).order_by(table.c.position)).mappings().all()
    assert {UUID(str(row["task_id"])) for row in found} <= {task_id}
    return [{name: row[name] for name in names} for row in found]


def test_every_kind_of_value_comes_back_as_it_was(engine: Engine, table: Table) -> None:
    pick = random.Random(1)  # noqa: S311 - test data
    rows: list[dict[str, object]] = [
        {
            "word": pick.choice([None, "", "MSG", "plié ☃ 🎿", "x" * 5000, 'quote " \\ \t \n']),
            "number": pick.choice([0, -(2**31), 2**31 - 1]),
            "large": pick.choice([None, 0, -(2**63), 2**63 - 1]),
            "ratio": pick.choice([None, 0.1, -0.5, 1.7e308, 5e-324]),
            "flag": pick.choice([True, False]),
            "raw": pick.choice([None, b"", b"\0\xff" * 3, bytes(5000)]),
            "words": pick.choice([None, [], ["a"], ["", "é☃", 'quote " {,}']]),
            "ratios": pick.choice([[], [0.1], [5e-324, -1.7e308]]),
        }
        for _ in range(500)
    ]
    assert written_and_read(engine, table, rows) == rows


def test_a_single_row_and_columns_of_nothing_but_null_fit(engine: Engine, table: Table) -> None:
    row: dict[str, object] = dict.fromkeys(name for name, *_ in COLUMNS) | {"number": 1, "flag": True, "ratios": [1.0]}
    assert written_and_read(engine, table, [row]) == [row]


def test_no_rows_are_no_rows(engine: Engine, table: Table) -> None:
    assert written_and_read(engine, table, []) == []
