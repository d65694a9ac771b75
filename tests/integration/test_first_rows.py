"""The first rows of a task: long values come only as they begin, whatever their kind."""

from uuid import UUID

from sqlalchemy import Engine, MetaData, insert

from store.engine import connect_async
from store.first_rows import HEAD, ITEMS, Beginning, first_rows
from store.predictions import predictions_table

TASK = UUID("019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01")
COLUMNS = {"a": "text", "b": "bytes", "c": "double[]", "d": "text[]", "e": "integer"}


async def test_what_is_long_is_cut_and_says_how_long_it_is(database_url: str, engine: Engine) -> None:
    metadata = MetaData()
    table = predictions_table("wide_rows", [(name, kind, True) for name, kind in COLUMNS.items()], metadata)
    values = [
        {"a": "é" * 1_000, "b": b"x" * 5_000, "c": [0.5] * 100, "d": ["y" * 1_000], "e": 7},
        {"a": "short", "b": None, "c": [0.5], "d": ["one", "two"], "e": None},
        {"a": "never read", "b": None, "c": None, "d": None, "e": None},
    ]
    own = {"task_id": TASK, "model_version": "1"}
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(table), [{**own, "position": at, **row} for at, row in enumerate(values)])
    reader = connect_async(database_url)
    async with reader.connect() as connection:
        long, short = await first_rows(connection, table, list(COLUMNS), TASK, rows=2, most=300)
    await reader.dispose()
    assert long[:2] == [Beginning("é" * 300, 1_000, "characters"), Beginning(b"x" * HEAD, 5_000, "bytes")]
    assert long[2] == Beginning([0.5] * ITEMS, 100, "values")
    assert long[4] == 7
    assert short == ["short", None, [0.5], "one, two", None]
    assert len(str(long)) < 3_000
