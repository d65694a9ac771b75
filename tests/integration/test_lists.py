"""Lists of tasks: right for every filter, as cheap beside millions of others' tasks, and nobody else's delay."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from handler.answer.listing import MAX_OF_ALL, MAX_OF_CLIENT, TaskLists
from handler.auth.caller import ANYBODY, Caller
from handler.problems import RequestRefused
from store.engine import connect, connect_async
from store.keys import Role
from store.states import Status
from store.tables import tasks
from store.tasks import BY_INDEX, newest
from tests.conftest import Servers, new_database

ROWS = 80_000
PAGE = 100
BLOCKS = 1_200
"""Of 8 kB. The table has some 2,000, and more with each task; a page of 100 may take 24 looks of 100 entries each."""

FILL = """
    INSERT INTO tasks (id, model, n_inputs, status, finished_at, client, submitted_at)
    SELECT
        CAST(lpad(to_hex(CAST(extract(epoch FROM now()) * 1000 AS bigint) - g), 12, '0')
            || '7' || substr(md5(CAST(g AS text)), 1, 3) || '8' || substr(md5(CAST(g AS text)), 4, 15) AS uuid),
        (ARRAY['report_scorer', 'text_classifier', 'translator', 'image_classifier'])[1 + g % 4], 1,
        CASE WHEN g % 1000 = 0 THEN 'FAILURE' WHEN g % 1000 = 1 THEN 'REVOKED' WHEN g < 5000 THEN 'PENDING'
            ELSE 'SUCCESS' END,
        now(), CASE WHEN g % 10 = 0 THEN NULL WHEN g % 7001 = 1 THEN 'small' ELSE 'big' END,
        now() - g / 3 * interval '3 milliseconds'
    FROM generate_series(1, :rows) AS g
"""


@pytest.fixture(scope="module")
def database_url(servers: Servers, template: str) -> str:
    return new_database(servers, template)


@pytest.fixture(scope="module")
def many(database_url: str) -> Iterator[Engine]:
    """A table without statistics, as after a sudden load: the worst for the planner."""
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(text(FILL), {"rows": ROWS})
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def everything(many: Engine) -> list[Any]:
    """All tasks, newest first, to be filtered here."""
    with many.connect() as connection:
        query = select(tasks.c.id, tasks.c.client, tasks.c.model, tasks.c.status, tasks.c.submitted_at)
        return list(connection.execute(query.order_by(tasks.c.submitted_at.desc(), tasks.c.id.desc())).all())


def expected(everything: list[Any], before: UUID | None, **wanted: Any) -> list[UUID]:
    after, earlier = wanted.pop("submitted_after", None), wanted.pop("submitted_before", None)
    places = {row.id: place for place, row in enumerate(everything)} if before else {}
    rows = everything[places[before] + 1 :] if before else everything
    found = (
        row.id
        for row in rows
        if (after is None or row.submitted_at >= after)
        and (earlier is None or row.submitted_at < earlier)
        and all(getattr(row, name) == value for name, value in wanted.items() if value is not None)
    )
    return list(itertools.islice(found, PAGE))


@pytest.mark.parametrize("client", [None, "big", "small", "nobody"])
@pytest.mark.parametrize("model", [None, "translator"])
def test_a_page_is_right_and_reads_little(
    many: Engine, everything: list[Any], client: str | None, model: str | None
) -> None:
    last: datetime = everything[0].submitted_at
    seconds = (last - everything[-1].submitted_at).total_seconds()
    for status, after, before, cursor in itertools.product(
        [None, Status.FAILURE], [None, 0.8], [None, 0.4], [None, 0.6]
    ):
        wanted: dict[str, Any] = {
            "client": client,
            "model": model,
            "status": status,
            "submitted_after": after and last - timedelta(seconds=seconds * after),
            "submitted_before": before and last - timedelta(seconds=seconds * before),
            "before": cursor and everything[int(ROWS * cursor)].id,
        }
        query, values = newest(**wanted, limit=PAGE)
        with many.connect() as connection:
            connection.execute(BY_INDEX)
            assert [row.task_id for row in connection.execute(query, values)] == expected(everything, **wanted), wanted
            explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.element.text}")  # type: ignore[attr-defined]
            explained = explained.bindparams(*query.element._bindparams.values())  # type: ignore[attr-defined]
            plan = connection.execute(explained, values).scalar_one()[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < BLOCKS, (wanted, plan)


def test_a_page_follows_a_task_that_was_deleted_meanwhile(many: Engine, everything: list[Any]) -> None:
    gone = everything[1000]
    with many.begin() as connection:
        connection.execute(tasks.delete().where(tasks.c.id == gone.id))
        found = [row.task_id for row in connection.execute(*newest(before=gone.id, limit=PAGE))]
        connection.rollback()
    near = {row.id for row in everything[990:1200]}
    assert set(found) <= near


async def test_too_many_lists_are_refused_at_once_and_the_others_answered(many: Engine, database_url: str) -> None:
    engine = connect_async(database_url, pool_size=2)
    lists = TaskLists(engine)
    with many.connect() as analyst:
        analyst.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        alice = [
            asyncio.create_task(lists.page(Caller("alice", Role.SUBMIT), limit=1)) for _ in range(MAX_OF_CLIENT + 20)
        ]
        others = [asyncio.create_task(lists.page(ANYBODY, limit=1)) for _ in range(MAX_OF_ALL + 20)]
        refused = 20 + 20 + MAX_OF_CLIENT
        async with asyncio.timeout(60):
            while sum(one.done() for one in (*alice, *others)) < refused:  # noqa: ASYNC110 - of 100, any may be first
                await asyncio.sleep(0.01)
        done = [one for one in (*alice, *others) if one.done()]
        assert all(isinstance(one.exception(), RequestRefused) for one in done)
        assert len(done) == refused
        analyst.rollback()
    answers = await asyncio.gather(*alice, *others, return_exceptions=True)
    assert sum(not isinstance(answer, RequestRefused) for answer in answers) == MAX_OF_ALL
    assert len(await asyncio.gather(*(lists.page(ANYBODY, limit=1) for _ in range(MAX_OF_ALL)))) == MAX_OF_ALL
    await engine.dispose()
