"""What tools find in the schema: comments, the task of a prediction, an index for the callers' own keys."""

import subprocess
import sys

import pytest
from sqlalchemy import Engine, MetaData, inspect, text

from migrations.revisions import upgrade
from serving.catalogue import specs
from tests.conftest import Servers, as_app, create_database
from tests.running import ROOT


def test_every_table_and_column_has_a_comment(engine: Engine) -> None:
    schema = MetaData()
    schema.reflect(engine)
    bare = [table.name for table in schema.tables.values() if not table.comment]
    assert bare == ["alembic_version"]
    assert [
        f"{table.name}.{column.name}"
        for table in schema.tables.values()
        for column in table.columns
        if not column.comment and table.name not in bare
    ] == []
    assert schema.tables["report_scores"].c.popularity.comment == "Popularity of the reporter, 0 to 5."


def test_a_comment_that_was_changed_is_right_after_the_next_migration(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("COMMENT ON COLUMN report_scores.score IS 'wrong'"))
        connection.execute(text("ALTER TABLE text_labels DROP CONSTRAINT text_labels_task_id_fkey"))
    upgrade(database_url, as_app(database_url))
    assert {key["name"] for key in inspect(engine).get_foreign_keys("text_labels")} == {"text_labels_task_id_fkey"}
    columns = {column["name"]: column["comment"] for column in inspect(engine).get_columns("report_scores")}
    assert columns["score"] == "Probability that the report is about real abuse."


def test_a_table_without_a_column_of_its_spec_keeps_nothing_else_from_being_migrated(
    engine: Engine, database_url: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE translations DROP COLUMN text CASCADE"))
        connection.execute(text("COMMENT ON COLUMN report_scores.score IS 'wrong'"))
    upgrade(database_url, as_app(database_url))
    columns = {column["name"]: column["comment"] for column in inspect(engine).get_columns("report_scores")}
    assert columns["score"] == "Probability that the report is about real abuse."


@pytest.mark.parametrize("spec", specs().values(), ids=lambda spec: spec.name)
def test_tools_find_the_task_of_a_prediction_and_nothing_is_checked_for_each_row(engine: Engine, spec) -> None:  # type: ignore[no-untyped-def]
    (found,) = inspect(engine).get_foreign_keys(spec.table)
    assert (found["constrained_columns"], found["referred_table"], found["referred_columns"]) == (
        ["task_id"],
        "tasks",
        ["id"],
    )
    with engine.connect() as connection:
        triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = CAST(:name AS regclass)"
        assert connection.scalar(text(triggers), {"name": spec.table}) == 0


@pytest.mark.parametrize("spec", specs().values(), ids=lambda spec: spec.name)
def test_a_callers_own_key_is_found_by_an_index(engine: Engine, spec) -> None:  # type: ignore[no-untyped-def]
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.scalars(text(f"EXPLAIN SELECT * FROM {spec.table} WHERE \"{spec.key}\" = 'r-1'"))
        assert f"{spec.table}_{spec.key}" in "\n".join(plan)


def test_a_lock_of_an_analyst_delays_no_migration_for_long(engine: Engine, database_url: str) -> None:
    """What it prevents is said, and done by the next one."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE translations DROP CONSTRAINT translations_task_id_fkey"))
    with engine.begin() as analyst:
        analyst.execute(text("LOCK TABLE translations IN SHARE MODE"))
        upgrade(database_url, None)
    assert inspect(engine).get_foreign_keys("translations") == []
    upgrade(database_url, None)
    assert len(inspect(engine).get_foreign_keys("translations")) == 1


def test_programs_that_migrate_at_once_do_not_wait_for_each_other_for_ever(servers: Servers) -> None:
    """An index that is built beside the programs waits for what runs, so nobody's wait may be a statement."""
    url = create_database(servers, "at_once")
    code = f"from migrations.revisions import upgrade; upgrade({url!r})"
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    try:
        assert [one.wait(100) for one in both] == [0, 0]
    finally:
        for one in both:
            one.kill()
