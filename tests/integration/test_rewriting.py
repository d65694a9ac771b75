"""`models add --rewrite` changes the type of a table's columns with every value kept, or changes nothing."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from registry import administration, prediction_tables, rewriting, table_types, versions
from registry.administration import NewVersion, RegistryRefused
from registry.artifacts import ArtifactCache
from registry.prediction_tables import changing
from serving.contract import Kind
from serving.outcomes import OutcomeRules
from serving.schema import ModelSchema, SchemaField, spec_of
from store.settings import StoreSettings
from tests.forking import run_command
from tests.integration.test_claims import add_tasks
from tests.integration.test_own_model import millrace, platform, submit, trained
from tests.running import Platform, eventually
from worker.celery.model_watch import ModelWatch
from worker.scoring.live_models import Unloadable
from worker.scoring.self_test import SelfTests

__all__ = ["platform"]

TABLE = "churn_predictions"
SCORE = (SchemaField("score", "score", "double"),)


def schema(kind: Kind | None, *, nullable: bool = True) -> ModelSchema:
    fields = () if kind is None else (SchemaField("x", "x", kind, nullable=nullable),)
    return ModelSchema("Churn", (SchemaField("y", "y", "double", nullable=True), *fields), SCORE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "model.ubj").write_bytes(b"one")
    return tmp_path / "model.ubj"


def new(file: Path, kind: Kind | None) -> NewVersion:
    return NewVersion("churn", TABLE, runtime="xgboost", schema=schema(kind), files={"model.ubj": file})


def add(engine: Engine, file: Path, kind: Kind | None) -> str:
    with engine.begin() as connection:
        added = administration.add(connection, new(file, kind), "ada")
        prediction_tables.make(connection, spec_of("churn", TABLE, schema(kind)))
    return added.version


def insert(engine: Engine, *values: str) -> None:
    with engine.begin() as connection:
        for position, value in enumerate(values):
            connection.execute(
                text(f"""
                    INSERT INTO {TABLE} (task_id, position, x, score, model_version)
                    VALUES (gen_random_uuid(), {position}, {value}, 0.5, '1')
                """)
            )


def rewrite(engine: Engine, kind: Kind) -> None:
    planned = rewriting.plan(engine, "churn", TABLE, schema(kind))
    assert planned is not None
    rewriting.drain(engine, planned)
    spec = spec_of("churn", TABLE, schema(kind))
    changing(engine, lambda connection: rewriting.perform(connection, planned, spec))


def stored(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(text(f"SELECT x FROM {TABLE} ORDER BY position")))


KEPT: dict[str, tuple[Kind, list[str], Kind, list[Any]]] = {
    "a small number": ("integer", ["7", "-7", "NULL"], "bigint", [7, -7, None]),
    "a number as a fraction": ("integer", ["2147483647"], "double", [2147483647.0]),
    "a large number": ("bigint", ["9007199254740992"], "double", [9007199254740992.0]),
    "a large number that is small": ("bigint", ["5", "NULL"], "integer", [5, None]),
    "whole fractions": ("double", ["5", "-3", "NULL"], "integer", [5, -3, None]),
    "large whole fractions": ("double", ["9007199254740991"], "bigint", [9007199254740991]),
    "a number as a text": ("integer", ["5", "NULL"], "text", ["5", None]),
    "a fraction as a text": ("double", ["0.1", "1e300"], "text", ["0.1", "1e+300"]),
    "a truth as a text": ("boolean", ["true"], "text", ["true"]),
    "a time as a text": ("timestamp", ["'2026-01-02 03:04:05+01'"], "text", ["2026-01-02T02:04:05.000000Z"]),
    "bytes as a text": ("bytes", [f"convert_to('{'a' * 80}', 'UTF8')"], "text", ["YWFh" * 26 + "YWE="]),
    "a list as a text": ("text[]", ["ARRAY['a,b', 'c']"], "text", ['["a,b","c"]']),
    "numbers in a text": ("text", ["'12'", "'-3'", "NULL"], "integer", [12, -3, None]),
    "fractions in a text": ("text", ["'0.10'", "'-1e3'", "NULL"], "double", [0.1, -1000.0, None]),
    "truths in a text": ("text", ["'true'", "'false'", "NULL"], "boolean", [True, False, None]),
}


@pytest.mark.parametrize(("before", "values", "after", "expected"), KEPT.values(), ids=KEPT)
def test_every_value_is_kept(
    engine: Engine, file: Path, before: Kind, values: list[str], after: Kind, expected: list[Any]
) -> None:
    add(engine, file, before)
    insert(engine, *values)
    rewrite(engine, after)
    assert stored(engine) == expected


LOST: dict[str, tuple[Kind, str, Kind]] = {
    "a number that no double is": ("bigint", "9007199254740993", "double"),
    "a number that is too large": ("bigint", "2147483648", "integer"),
    "a fraction": ("double", "1234.5", "integer"),
    "a fraction beyond all numbers": ("double", "1e19", "bigint"),
    "infinity": ("double", "'Infinity'", "bigint"),
    "a word": ("text", "'secret'", "integer"),
    "a number with zeros before it": ("text", "'007'", "bigint"),
    "more digits than a double has": ("text", "'0.12345678901234567890'", "double"),
    "a word that is no truth": ("text", "'yes'", "boolean"),
}


@pytest.mark.parametrize(("before", "value", "after"), LOST.values(), ids=LOST)
def test_a_value_that_would_be_lost_is_counted_and_nothing_changes(
    engine: Engine, file: Path, before: Kind, value: str, after: Kind
) -> None:
    add(engine, file, before)
    insert(engine, value, "NULL")
    kept = stored(engine)
    with pytest.raises(RegistryRefused, match=r"the column x of churn_predictions: 1 of 2 rows") as refused:
        rewrite(engine, after)
    assert value.strip("'") not in str(refused.value)
    assert stored(engine) == kept


def test_what_is_stored_between_the_question_and_the_change_is_looked_at_too(engine: Engine, file: Path) -> None:
    add(engine, file, "text")
    planned = rewriting.plan(engine, "churn", TABLE, schema("integer"))
    assert planned is not None
    spec = spec_of("churn", TABLE, schema("integer"))
    insert(engine, "'word'")
    with pytest.raises(RegistryRefused, match="1 of 1 rows"):
        changing(engine, lambda connection: rewriting.perform(connection, planned, spec))
    assert stored(engine) == ["word"]


@pytest.mark.parametrize(("before", "after"), [("text", "timestamp"), ("boolean", "double"), ("text", "double[]")])
def test_a_type_that_becomes_no_other_is_refused(engine: Engine, file: Path, before: Kind, after: Kind) -> None:
    add(engine, file, before)
    with pytest.raises(RegistryRefused, match="does not become"):
        rewrite(engine, after)


def test_the_cost_is_measured_on_the_rows_that_there_are(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    insert(engine, *map(str, range(50)))
    planned = rewriting.plan(engine, "churn", TABLE, schema("bigint"))
    assert planned is not None
    assert (planned.rows, planned.measured_on, planned.unfit, planned.live) == (50, 50, ["1"], None)
    assert 0 < planned.seconds < 60
    assert planned.bytes >= 8192
    assert rewriting.plan(engine, "churn", TABLE, schema("integer")) is None


VIEWS = """
CREATE ROLE viewer_of_test;
CREATE VIEW "Mine" WITH (security_barrier=true) AS SELECT x, score, '12:30 100%' AS note FROM churn_predictions;
COMMENT ON VIEW "Mine" IS 'it''s mine: 5%';
COMMENT ON COLUMN "Mine".x IS 'the x';
CREATE VIEW on_top AS SELECT m.x FROM "Mine" AS m JOIN churn_rows USING (x);
GRANT SELECT ON on_top TO viewer_of_test WITH GRANT OPTION;
GRANT SELECT (x) ON "Mine" TO viewer_of_test;
GRANT SELECT ON "Mine" TO PUBLIC;
"""

_ABOUT = text("""
SELECT c.relname, pg_get_viewdef(c.oid), c.reloptions, c.relacl::text, obj_description(c.oid), a.attacl::text,
    col_description(c.oid, 1)
FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = 1
WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname
""")


def about_views(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(_ABOUT).all())


def run(engine: Engine, statements: str) -> None:
    with engine.begin() as connection:
        for statement in filter(str.strip, statements.split(";\n")):
            connection.exec_driver_sql(statement.replace("%", "%%"))


@pytest.fixture
def viewer(engine: Engine) -> Iterator[None]:
    yield
    run(engine, "DROP OWNED BY viewer_of_test;\nDROP ROLE viewer_of_test")


@pytest.mark.usefixtures("viewer")
def test_views_come_back_with_options_comments_and_grants(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    run(engine, VIEWS)
    before = about_views(engine)
    assert {"Mine", "on_top", "churn_rows"} <= {row.relname for row in before}
    rewrite(engine, "bigint")
    assert about_views(engine) == before


def keyed(kind: Kind) -> ModelSchema:
    key = SchemaField("x", "x", kind, nullable=True)
    rules = OutcomeRules(kinds=("stayed", "left"), target="left")
    return ModelSchema("Churn", (key,), SCORE, key="x", outcomes=rules)


def test_outcomes_find_the_key_by_its_new_type(engine: Engine, file: Path) -> None:
    files = {"model.ubj": file}
    for kind in ("bigint", "text"):
        wanted = keyed(kind)  # type: ignore[arg-type]
        spec = spec_of("churn", TABLE, wanted)
        planned = rewriting.plan(engine, "churn", TABLE, wanted)
        with engine.begin() as connection:
            added = NewVersion("churn", TABLE, runtime="xgboost", schema=wanted, files=files)
            administration.add(connection, added, "ada")
            if planned is None:
                prediction_tables.make(connection, spec)
            else:
                rewriting.perform(connection, planned, spec)
        if planned is None:
            insert(engine, "12")
            columns = "model, key, outcome, decided_at, everyones"
            run(engine, f"INSERT INTO outcomes ({columns}) VALUES ('churn', '12', 'left', now(), true)")
            run(engine, "CREATE VIEW mine AS SELECT outcome FROM churn_outcomes")
        with engine.connect() as connection:
            assert list(connection.scalars(text("SELECT outcome FROM mine"))) == ["left"], kind
            assert connection.scalar(text("SELECT has_table_privilege('analyst', 'churn_outcomes', 'SELECT')"))


def test_a_view_that_the_new_type_breaks_is_named_and_nothing_changes(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    run(engine, "CREATE VIEW doubled AS SELECT x * 2 AS x FROM churn_predictions")
    insert(engine, "1")
    with pytest.raises(RegistryRefused, match="the view doubled does not work with the new type"):
        rewrite(engine, "text")
    assert stored(engine) == [1]
    assert "doubled" in {row.relname for row in about_views(engine)}


def test_a_materialized_view_is_named(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    run(engine, "CREATE MATERIALIZED VIEW saved AS SELECT x FROM churn_predictions")
    with pytest.raises(RegistryRefused, match="materialized view saved"):
        rewrite(engine, "text")


def test_a_version_in_use_that_would_no_longer_fit_is_not_broken(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    for move, state in ((administration.shadow, "shadow"), (administration.promote, "live")):
        with engine.begin() as connection:
            move(connection, "churn", "1", "ada")
        with pytest.raises(RegistryRefused, match=f"churn@1 is {state}, and could not store"):
            rewrite(engine, "bigint")
    with engine.begin() as connection:
        administration.retire(connection, "churn", None, "ada")
    rewrite(engine, "bigint")


def test_a_live_version_without_the_column_stays_live(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    assert add(engine, file, None) == "2"
    with engine.begin() as connection:
        administration.promote(connection, "churn", "2", "ada")
    planned = rewriting.plan(engine, "churn", TABLE, schema("text"))
    assert planned is not None
    assert (planned.live, planned.unfit) == ("2", ["1"])
    rewrite(engine, "text")


@pytest.mark.parametrize("status", ["PENDING", "STARTED"])
def test_a_task_that_was_accepted_under_a_version_that_would_not_fit_comes_first(
    engine: Engine, file: Path, status: str
) -> None:
    add(engine, file, "integer")
    add_tasks(engine, model="churn", status=status, accepted_version="1")
    with pytest.raises(RegistryRefused, match="1 tasks were accepted under a version"):
        rewrite(engine, "bigint")
    run(engine, "UPDATE tasks SET status = 'REVOKED'")
    rewrite(engine, "bigint")


def test_a_process_that_has_it_loaded_comes_first(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    run(
        engine,
        """
        INSERT INTO workers (id, host, pid, model, model_version, seen_at, ready_at)
        VALUES (gen_random_uuid(), 'h', 1, 'churn', '1', now(), now())
        """,
    )
    with pytest.raises(RegistryRefused, match="1 worker processes still have churn@1 loaded"):
        rewrite(engine, "bigint")


def test_a_version_that_no_longer_fits_is_neither_promoted_nor_loaded(
    engine: Engine, database_url: str, file: Path, tmp_path: Path
) -> None:
    add(engine, file, "integer")
    with engine.begin() as connection:
        administration.promote(connection, "churn", "1", "ada")
        administration.retire(connection, "churn", None, "ada")
    rewrite(engine, "text")
    assert add(engine, file, "text") == "2"
    with pytest.raises(RegistryRefused, match="holds text, and the version stores integer"), engine.begin() as own:
        administration.promote(own, "churn", "1", "ada")
    store = StoreSettings.model_validate({"database_url": database_url})
    (tmp_path / "tests").mkdir()
    watch = ModelWatch(store, ArtifactCache(tmp_path / "cache"), SelfTests(tmp_path / "tests"), [])
    with engine.connect() as connection:
        old = versions.read(connection).version("churn", "1")
    assert old is not None
    with pytest.raises(Unloadable, match="churn 1 no longer fits its table"):
        watch.provide(old)
    rewrite(engine, "integer")
    with engine.begin() as connection:
        assert administration.promote(connection, "churn", "1", "ada") == "1"


def test_a_reader_who_holds_the_table_is_waited_for_by_turns(engine: Engine, file: Path) -> None:
    add(engine, file, "integer")
    reading = engine.connect()
    reading.execute(text(f"SELECT count(*) FROM {TABLE}"))
    released = threading.Timer(3.0, reading.close)
    start = time.monotonic()
    released.start()
    rewrite(engine, "bigint")
    released.join()
    assert 3 <= time.monotonic() - start < 60


def test_a_change_that_takes_too_long_is_not_tried_again(
    engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(engine, file, "integer")
    run(
        engine,
        """
        INSERT INTO churn_predictions (task_id, position, x, score, model_version)
        SELECT gen_random_uuid(), 0, 1, 0.5, '1' FROM generate_series(1, 20000)
        """,
    )
    monkeypatch.setattr(rewriting, "LEAST", 0.001)
    monkeypatch.setattr(rewriting, "MARGIN", 0)
    with pytest.raises(RegistryRefused, match="was cancelled, or took longer than 0 s; nothing has changed"):
        rewrite(engine, "bigint")
    with engine.connect() as connection:
        assert table_types.types_of(connection, TABLE)["x"] == "integer"


def command(database_url: str, *arguments: str) -> tuple[int, str]:
    return run_command(["cli.models", *arguments], {**os.environ, "DATABASE_URL": database_url})


def described(folder: Path, kind: str) -> None:
    lines = 'file = "model.ubj"\nsample = "sample.csv"\nkey = "id"\nlabel = "label"\n'
    (folder / "model.toml").write_text(f'{lines}\n[input.V1]\nkind = "{kind}"\n')


def test_the_command_says_the_cost_and_asks(database_url: str, engine: Engine, tmp_path: Path) -> None:
    trained(tmp_path / "churn")
    described(tmp_path / "churn", "integer")
    assert command(database_url, "add", str(tmp_path / "churn"))[0] == 0
    described(tmp_path / "churn", "double")
    status, said = command(database_url, "add", str(tmp_path / "churn"))
    assert status == 1
    assert "have the table changed with --rewrite" in said
    status, said = command(database_url, "add", str(tmp_path / "churn"), "--rewrite")
    assert status == 1, "nobody has answered"
    assert "v1: integer becomes double precision" in said
    assert "These versions can no longer be promoted: 1." in said
    assert "The table is locked meanwhile" in said
    with engine.connect() as connection:
        assert list(versions.read(connection).versions_of("churn"))[-1].version == "1"
    status, said = command(database_url, "add", str(tmp_path / "churn"), "--rewrite", "--yes")
    assert status == 0, said
    assert "churn_predictions is rewritten." in said
    assert "churn version 2 is a candidate" in said


def test_results_from_before_are_read_and_new_ones_stored(platform: Platform, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    sample = trained(folder)
    described(folder, "integer")
    millrace(platform, "add", str(folder))
    millrace(platform, "promote", "churn")
    before = submit(platform, sample[:5])
    described(folder, "double")
    assert "is live, and could not store" in millrace(platform, "add", str(folder), "--rewrite", "--yes", status=1)
    millrace(platform, "retire", "churn", "--yes")
    eventually(lambda: command(platform.database_url, "add", str(folder), "--rewrite", "--yes")[0] == 0)
    millrace(platform, "promote", "churn")
    after = submit(platform, sample[5:10])
    assert after["model_version"] == "2"
    task = platform.client.get(f"/task/{before['task_id']}").json()
    assert (task["model_version"], task["score"]) == ("1", before["score"])
    with engine.connect() as connection:
        kinds = {type(value) for value in connection.scalars(text("SELECT v1 FROM churn_rows"))}
        assert connection.scalar(text("SELECT count(*) FROM churn_rows")) == 10
    assert kinds == {float}


def test_a_chunk_that_is_being_scored_ends_first(engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(engine, file, "integer")
    add_tasks(engine, model="churn", status="STARTED", accepted_version="of before")
    planned = rewriting.plan(engine, "churn", TABLE, schema("bigint"))
    assert planned is not None
    with monkeypatch.context() as patched:
        patched.setattr(rewriting, "DRAINING", 0.1)
        with pytest.raises(RegistryRefused, match="1 tasks of churn are still being scored"):
            rewriting.drain(engine, planned)
    ending = threading.Timer(0.5, run, [engine, "UPDATE tasks SET status = 'SUCCESS'"])
    start = time.monotonic()
    ending.start()
    rewriting.drain(engine, planned)
    ending.join()
    assert time.monotonic() - start > 0.4
