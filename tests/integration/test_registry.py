"""The registry: versions are added once, one a model is live, and every change is an event with a name and a reason."""

import pickle
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from models.report_scorer.dataset import synthesize
from models.report_scorer.train import train
from registry import administration, builtin, prediction_tables, versions
from registry.administration import NewVersion, RegistryRefused
from registry.artifacts import ArtifactCache
from serving import artifact, catalogue
from serving.artifact import ArtifactTampered, UnsafeFormat
from serving.schema import ModelSchema, SchemaField, spec_of
from store import analytics, models
from store.engine import connect
from store.model_tables import State
from tests.artifacts import recalibrated
from tests.conftest import as_app

FIELDS = (SchemaField("mean radius", "mean_radius", "double"), SchemaField("id", "id", "text", nullable=True))
SCHEMA = ModelSchema("Churn", FIELDS, (SchemaField("score", "score", "double", ge=0, le=1),), key="id")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def new(folder: Path, content: bytes, schema: ModelSchema = SCHEMA, **values: Any) -> NewVersion:
    (folder / "model.ubj").write_bytes(content)
    files = {"model.ubj": folder / "model.ubj"}
    return NewVersion("churn", "churn_predictions", runtime="xgboost", schema=schema, files=files, **values)


@pytest.fixture
def connection(engine: Engine, folder: Path) -> Iterator[Connection]:
    """A transaction in which churn has the versions 1 and 2, both candidates."""
    with engine.begin() as connection:
        administration.add(connection, new(folder, b"one"), "ada")
        administration.add(connection, new(folder, b"two"), "ada")
        yield connection


def states(connection: Connection) -> list[str]:
    return [str(state) for state in models.states(connection, "churn").values()]


def test_the_models_of_the_repository_are_live_after_the_migration(engine: Engine) -> None:
    with engine.connect() as connection:
        live = versions.read(connection).live
    assert {model: version.version for model, version in live.items()}["report_scorer"] == "1.0.0"


def test_versions_are_numbered(connection: Connection) -> None:
    assert list(models.states(connection, "churn")) == ["1", "2"]
    assert states(connection) == ["candidate", "candidate"]
    assert "churn" not in versions.read(connection).live


def test_unchanged_files_are_the_version_that_they_were(connection: Connection, folder: Path) -> None:
    again = administration.add(connection, new(folder, b"one"), "bob")
    assert (again.version, again.is_new) == ("1", False)
    assert len(models.events(connection, "churn")) == 2


def test_another_schema_is_another_version(connection: Connection, folder: Path) -> None:
    schema = ModelSchema("Churn", FIELDS[:1], SCHEMA.output)
    assert administration.add(connection, new(folder, b"one", schema), "bob").version == "3"


def test_files_are_stored_once_and_fetched_whole(connection: Connection, folder: Path, tmp_path: Path) -> None:
    large = bytes(range(256)) * 10_000
    administration.add(connection, new(folder, large), "ada")
    administration.add(connection, new(folder, large, ModelSchema("C", FIELDS[:1], SCHEMA.output)), "ada")
    assert connection.scalar(text("SELECT count(DISTINCT sha256) FROM model_artifacts")) > 2
    cache = ArtifactCache(tmp_path / "cache")
    version = versions.read(connection).version("churn", "3")
    assert version is not None
    found = cache.fetch(connection, version)
    assert (found.path / "model.ubj").read_bytes() == large


def test_a_file_that_was_changed_on_this_machine_is_fetched_again(connection: Connection, tmp_path: Path) -> None:
    version = versions.read(connection).version("churn", "1")
    assert version is not None
    cache = ArtifactCache(tmp_path / "cache")
    found = cache.fetch(connection, version)
    (found.path / "model.ubj").write_bytes(b"evil")
    with pytest.raises(ArtifactTampered):
        artifact.verify(found)
    assert (cache.fetch(connection, version).path / "model.ubj").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("name", "words"), [("model.pkl", r"model\.pkl: only \.bin"), ("model.bin", r"model\.bin: its content is a pickle")]
)
def test_a_pickle_is_not_loaded_though_somebody_has_added_it(
    connection: Connection, folder: Path, tmp_path: Path, name: str, words: str
) -> None:
    (folder / name).write_bytes(pickle.dumps(print))
    files = {name: folder / name}
    listed = NewVersion("churn", "churn_predictions", runtime="xgboost", schema=SCHEMA, files=files)
    added = administration.add(connection, listed, "ada")
    version = versions.read(connection).version("churn", added.version)
    assert version is not None
    with pytest.raises(UnsafeFormat, match=words):
        ArtifactCache(tmp_path / "cache").fetch(connection, version)


def test_a_folder_that_others_may_write_to_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(PermissionError, match="MODEL_CACHE"):
        ArtifactCache(tmp_path / "cache")


def test_one_version_is_live(connection: Connection) -> None:
    assert administration.promote(connection, "churn", "1", "ada") == "1"
    assert administration.promote(connection, "churn", None, "bob", "better") == "2"
    assert states(connection) == ["candidate", "live"]
    assert [tuple(row)[1:] for row in models.events(connection, "churn")][2:] == [
        ("1", "promoted", "candidate", "live", "ada", None, None),
        ("1", "replaced", "live", "candidate", "bob", "better", None),
        ("2", "promoted", "candidate", "live", "bob", "better", None),
    ]


def test_each_roll_back_goes_one_promotion_back(connection: Connection, folder: Path) -> None:
    administration.add(connection, new(folder, b"three"), "ada")
    for version in "123":
        administration.promote(connection, "churn", version, "ada")
    assert administration.roll_back(connection, "churn", "ada") == "2"
    assert administration.roll_back(connection, "churn", "ada") == "1"
    assert states(connection) == ["live", "candidate", "candidate"]
    with pytest.raises(RegistryRefused, match="no version of churn was live before 1"):
        administration.roll_back(connection, "churn", "ada")


def test_which_version_was_live_when_is_one_question(engine: Engine, folder: Path) -> None:
    moments: dict[str, datetime] = {}
    with engine.begin() as connection:
        for content in (b"one", b"two"):
            administration.add(connection, new(folder, content), "ada")
        for step in ("1", "2", "back"):
            if step == "back":
                administration.roll_back(connection, "churn", "ada")
            else:
                administration.promote(connection, "churn", step, "ada")
            moments[step] = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        administration.retire(connection, "churn", None, "ada")
    periods = [row for row in analytics.ask(engine, "versions-live").rows if row.model == "churn"]
    found = {
        step: [row.version for row in periods if row.live_from <= at and (row.live_until or at) >= at]
        for step, at in moments.items()
    }
    assert found == {"1": ["1"], "2": ["2"], "back": ["1"]}
    assert all(row.live_until is not None for row in periods)


REFUSED = {
    "an unknown model": (lambda c: administration.promote(c, "nobody", None, "ada"), "no model nobody"),
    "an unknown version": (lambda c: administration.promote(c, "churn", "9", "ada"), "it has 1, 2"),
    "nothing to go back to": (lambda c: administration.roll_back(c, "churn", "ada"), "no live version"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_an_impossible_change_says_why(connection: Connection, change: Any, words: str) -> None:
    with pytest.raises(RegistryRefused, match=words):
        change(connection)
    assert states(connection) == ["candidate", "candidate"]


def test_a_live_version_is_retired_with_its_model_only(connection: Connection) -> None:
    administration.promote(connection, "churn", "2", "ada")
    with pytest.raises(RegistryRefused, match="is live"):
        administration.retire(connection, "churn", "2", "ada")
    assert administration.retire(connection, "churn", None, "ada") == ["1", "2"]
    registry = versions.read(connection)
    assert registry.is_retired("churn")
    assert "churn" not in registry.live
    administration.promote(connection, "churn", "1", "ada")  # which undoes it
    assert states(connection) == ["live", "retired"]


def test_changes_at_one_time_come_one_after_another(engine: Engine, folder: Path) -> None:
    with engine.begin() as connection:
        for number in range(6):
            administration.add(connection, new(folder, b"%d" % number), "ada")

    def promote(version: str) -> None:
        with engine.begin() as own:
            administration.promote(own, "churn", version, "ada")

    threads = [threading.Thread(target=promote, args=(str(number),)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert list(models.states(connection, "churn").values()).count(State.LIVE) == 1
        assert [row.event for row in models.events(connection, "churn")].count("promoted") == 6


def test_the_revision_grows_with_each_change(connection: Connection) -> None:
    registry = versions.read(connection)
    assert not registry.refresh(connection)
    administration.promote(connection, "churn", "1", "ada")
    assert registry.refresh(connection)
    one = registry.version("churn", "1")
    administration.promote(connection, "churn", "2", "ada")
    registry.refresh(connection)
    assert registry.version("churn", "1") is one


@pytest.fixture
def table(connection: Connection) -> Connection:
    prediction_tables.make(connection, spec_of("churn", "churn_predictions", SCHEMA))
    return connection


def columns(connection: Connection, name: str) -> dict[str, str]:
    query = text("SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = :name")
    return {row.column_name: row.is_nullable for row in connection.execute(query, {"name": name})}


def test_a_model_gets_a_table_and_a_view(table: Connection) -> None:
    assert columns(table, "churn_predictions")["mean_radius"] == "NO"
    assert columns(table, "churn_rows").keys() > columns(table, "churn_predictions").keys()
    analyst = text("SELECT has_table_privilege('analyst', :name, 'SELECT')")
    assert table.scalar(analyst, {"name": "churn_rows"})
    assert table.scalar(analyst, {"name": "churn_predictions"})


def test_a_table_grows_by_columns_that_may_be_null(table: Connection) -> None:
    fields = (FIELDS[1], SchemaField("V1", "v1", "bigint", nullable=True))
    prediction_tables.make(table, spec_of("churn", "churn_predictions", ModelSchema("C", fields, SCHEMA.output)))
    found = columns(table, "churn_predictions")
    assert found["v1"] == "YES"
    assert found["mean_radius"] == "YES", "the new version does not give it any more"
    assert "v1" in columns(table, "churn_rows")


def test_a_key_that_a_later_version_brings_has_an_index(engine: Engine) -> None:
    first = spec_of("churn", "churn_predictions", ModelSchema("C", FIELDS[:1], SCHEMA.output))
    later = spec_of("churn", "churn_predictions", SCHEMA)
    with engine.begin() as connection:
        prediction_tables.make(connection, first)
    prediction_tables.index_key(engine, first)
    with engine.begin() as connection:
        prediction_tables.make(connection, later)
    for _ in range(2):
        prediction_tables.index_key(engine, later)
    with engine.connect() as connection:
        indexes = text(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'churn_predictions' AND indexdef LIKE '%(id)%'"
        )
        assert len(connection.scalars(indexes).all()) == 1


def test_a_column_of_another_type_is_refused(table: Connection) -> None:
    fields = (SchemaField("mean radius", "mean_radius", "text"),)
    with pytest.raises(RegistryRefused, match=r"mean_radius.*double precision.*text"):
        prediction_tables.make(table, spec_of("churn", "churn_predictions", ModelSchema("C", fields, SCHEMA.output)))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO models (name, table_name) VALUES ('x', 'x')",
        "INSERT INTO model_versions (model, version, runtime, manifest, digest, created_by) "
        "VALUES ('report_scorer', '9', 'x', '{}', '', 'x')",
        "UPDATE model_versions SET manifest = '{}'",
        "UPDATE model_events SET reason = 'other'",
        "DELETE FROM model_events",
        "INSERT INTO model_artifacts VALUES ('', 0, '')",
        "DELETE FROM model_versions",
        "CREATE TABLE mine (id int)",
        "UPDATE api_keys SET role = 'admin'",
    ],
)
def test_a_program_may_move_a_version_and_note_it_and_nothing_more(database_url: str, statement: str) -> None:
    engine = connect(as_app(database_url))
    with engine.begin() as connection:
        administration.retire(connection, "report_scorer", None, "somebody")
    with pytest.raises(ProgrammingError, match="permission denied"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("phrasebook-1.0.0/golden.jsonl", "{}"),
        ("phrasebook-1.0.0/model.json", "{}"),
        ("phrasebook-1.0.0/model.pkl", "a pickle that no manifest lists"),
        ("CURRENT", "9.9.9"),
    ],
)
def test_a_broken_artifact_is_left_out_and_the_others_are_registered(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: str
) -> None:
    shutil.copytree(catalogue.FOLDER, tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models" / "translator" / "artifact" / file).write_text(content)
    monkeypatch.setattr(artifact, "FOLDER", tmp_path / "models")
    with engine.begin() as connection:
        for table in ("model_events", "model_versions", "models"):
            connection.execute(text(f"DELETE FROM {table}"))
        assert builtin.register(connection) == []
        assert sorted(versions.read(connection).live) == ["image_classifier", "report_scorer", "text_classifier"]


def test_an_artifact_that_was_written_to_another_folder_is_a_candidate(engine: Engine, tmp_path: Path) -> None:
    train(synthesize(2_000), "trial", tmp_path)
    with engine.begin() as connection:
        assert builtin.register_from(connection, "report_scorer", tmp_path) == [("report_scorer", "trial")]
        assert builtin.register_from(connection, "report_scorer", tmp_path) == []
        assert models.states(connection, "report_scorer") == {"1.0.0": State.LIVE, "trial": State.CANDIDATE}


def test_a_newer_artifact_of_the_repository_is_a_candidate(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        administration.add(connection, recalibrated(tmp_path, "2.0.0", 1.0), "ada")
        administration.promote(connection, "report_scorer", "2.0.0", "ada")
        connection.execute(text("DELETE FROM model_events WHERE version = '1.0.0' AND model = 'report_scorer'"))
        connection.execute(text("DELETE FROM model_versions WHERE version = '1.0.0' AND model = 'report_scorer'"))
        assert builtin.register(connection) == [("report_scorer", "1.0.0")]
        assert versions.read(connection).live["report_scorer"].version == "2.0.0"
        assert builtin.untried(connection) == [("report_scorer", "1.0.0")]
        administration.promote(connection, "report_scorer", "1.0.0", "ada")
        assert builtin.untried(connection) == []
        administration.roll_back(connection, "report_scorer", "ada")
        assert builtin.untried(connection) == [], "it was tried"
