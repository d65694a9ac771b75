"""What an idempotency key compares: what was meant, alike at every size and route, and across a release."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, event, text
from uuid_utils.compat import uuid7

from broker.lanes import ClientLanes
from broker.message import Lane, QueuedTask
from handler.submit.backlog import Backlog
from handler.submit.group_commit import GroupCommit
from store.engine import connect, connect_async
from store.submissions import KeyReused, Submission
from telemetry import exporter
from tests.running import REPORT, Platform

REWRITTEN = """{"lifetime_matches_created": 57,"popularity" :3, "report_id": null,
"profile_rating": 4.20, "report_text_len": 12e1, "abuse_type": "\\u004dSG"}"""
AS_INTEGERS = REWRITTEN.replace("12e1", "120")


@pytest.fixture(scope="module")
def engine(platform: Platform) -> Any:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


def post(platform: Platform, path: str, key: str, body: str, **query: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return platform.client.post(path, content=body, headers=headers, params=query)


class TestComparing:
    @pytest.mark.parametrize("size", [1, 7, 8, 100])
    def test_the_same_inputs_written_otherwise_are_the_same(self, platform: Platform, size: int) -> None:
        key = f"rewritten-{size}"
        first = post(platform, "/submit", key, json.dumps([REPORT] * size))
        again = post(platform, "/submit", key, f" [{','.join([AS_INTEGERS] * size)}]\n")
        assert (first.status_code, again.status_code) == (202, 202), again.text
        assert again.json()["task_id"] == first.json()["task_id"]

    @pytest.mark.parametrize("size", [1, 7, 8, 100])
    @pytest.mark.parametrize(
        "other", [{"popularity": 4}, {"profile_rating": 4.2000001}, {"report_id": ""}, {"abuse_type": "PRF"}]
    )
    def test_other_inputs_are_refused(self, platform: Platform, size: int, other: dict[str, Any]) -> None:
        key = f"other-{size}-{other}".replace(" ", "").replace('"', "")
        assert post(platform, "/submit", key, json.dumps([REPORT] * size)).status_code == 202
        for body in ([REPORT] * (size - 1) + [REPORT | other], [REPORT] * (size + 1)):
            refused = post(platform, "/submit", key, json.dumps(body))
            assert (refused.status_code, refused.json()["type"]) == (422, "urn:millrace:problem:idempotency-key-reused")

    def test_every_route_compares_alike(self, platform: Platform) -> None:
        tensors = {
            name: {"name": name, "shape": [1], "datatype": kind, "data": [REPORT[name]]}
            for name, kind in (
                *(("abuse_type", "BYTES"), ("report_text_len", "INT64"), ("profile_rating", "FP64")),
                *(("popularity", "INT64"), ("lifetime_matches_created", "INT64")),
            )
        }
        protocol = json.dumps({"id": "x", "inputs": list(tensors.values())})
        first = post(platform, "/submit", "routes", json.dumps([REPORT])).json()["task_id"]
        assert post(platform, "/models/report_scorer/submit", "routes", f"[{AS_INTEGERS}]").json()["task_id"] == first
        assert post(platform, "/predict", "routes", AS_INTEGERS).json()["task_id"] == first
        assert post(platform, "/v2/models/report_scorer/infer", "routes", protocol).status_code == 200
        text_model = post(platform, "/models/text_classifier/submit", "routes", '[{"text": "a puck"}]')
        assert text_model.json()["type"] == "urn:millrace:problem:idempotency-key-reused"

    def test_when_to_score_is_not_compared(self, platform: Platform) -> None:
        body = json.dumps([REPORT])
        first = post(platform, "/submit", "when", body, priority="low", deadline="3600").json()["task_id"]
        assert post(platform, "/submit", "when", body, priority="high", deadline="60").json()["task_id"] == first

    def test_what_another_release_stored_is_not_refused(self, platform: Platform, engine: Engine) -> None:
        """Its fingerprints had no format in front, or will have another."""
        body = json.dumps([REPORT])
        first = post(platform, "/submit", "release", body).json()["task_id"]
        for fingerprint in (bytes(32), b"\2" + bytes(32)):
            with engine.begin() as connection:
                connection.execute(
                    text("UPDATE tasks SET request_fingerprint = :it WHERE id = :id"), {"it": fingerprint, "id": first}
                )
            assert post(platform, "/submit", "release", body).json()["task_id"] == first


class Nowhere:
    """Takes messages and forgets them: PostgreSQL has the tasks."""

    def publish(self, tasks: list[QueuedTask], *, alone: bool = False) -> dict[tuple[str, Lane], int]:
        return {}

    def waiting(self, model: str, lanes: Sequence[Lane]) -> dict[Lane, int]:
        return {}

    def announce(self, task_ids: list[UUID]) -> None: ...


class TestRetries:
    async def test_a_storm_of_them_is_looked_up_together_and_beside_the_commits(self, database_url: str) -> None:
        commits, reads = connect_async(database_url, pool_size=1), connect_async(database_url, pool_size=1)
        seen: dict[str, list[str]] = {"commits": [], "reads": []}
        for name, engine in (("commits", commits), ("reads", reads)):
            event.listen(
                engine.sync_engine,
                "before_cursor_execute",
                lambda *given, to=seen[name]: to.append(given[2]),
            )
        registry = exporter.registry()
        lanes = ClientLanes(lambda _: (10_000, 60))
        backlog = Backlog(reads, 10**6, lanes.forget_but)
        intake = GroupCommit(commits, reads, backlog, Nowhere(), lanes, registry)  # type: ignore[arg-type]
        running = asyncio.create_task(intake.run())

        def keyed(key: str | None, fingerprint: bytes = b"\1a", client: str | None = "alice") -> Any:
            return intake.accept(
                Submission(uuid7(), "m", b"[]", 1, client=client, idempotency_key=key, fingerprint=fingerprint)
            )

        first = await keyed("k")
        unowned = await keyed("k", client=None)
        for one in seen.values():
            one.clear()
        storm = [keyed("k") for _ in range(200)] + [keyed(None) for _ in range(20)]
        storm += [keyed("k", b"\1b"), keyed("k", client=None), keyed("new"), keyed("new")]
        answers = await asyncio.gather(*storm, return_exceptions=True)
        assert {a.task_id for a in answers[:200]} == {first.task_id}
        assert len({a.task_id for a in answers[200:220]}) == 20
        assert isinstance(answers[220], KeyReused)
        assert answers[221].task_id == unowned.task_id
        assert answers[222].task_id == answers[223].task_id
        assert [a.replayed for a in answers[222:]].count(True) == 1
        assert len(seen["commits"]) <= 3
        assert all("INSERT INTO tasks" in statement for statement in seen["commits"])
        assert 1 <= len(seen["reads"]) <= 3

        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await commits.dispose()
        await reads.dispose()

    def test_a_lookup_reads_an_entry_of_the_index_however_many_keys_there_are(self, engine: Engine) -> None:
        """IS NOT DISTINCT FROM, which no index serves, read all of them."""
        from store.submissions import _ORIGINALS

        with engine.begin() as connection:
            connection.execute(
                text("""
                INSERT INTO tasks (id, model, n_inputs, client, idempotency_key, request_fingerprint, status)
                SELECT gen_random_uuid(), 'm', 1, CASE WHEN n % 2 = 0 THEN 'c' || n % 7 END, 'key-' || n, '', 'SUCCESS'
                FROM generate_series(1, 30000) AS n
                """)
            )
            connection.execute(text("ANALYZE tasks"))
            for client in ("c1", None):
                asked = {"clients": [client] * 3, "keys": ["key-1", "key-8", "key-29999"]}
                plan = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_ORIGINALS.text}"), asked)
                top = plan.scalar_one()[0]["Plan"]
                assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 60
            connection.rollback()
