"""`millrace drift` against a real database: what moves is found, kept and told to Prometheus; what is quiet is not."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from cli.drift import drift
from evaluation.columns import categories_reference, count, numbers_reference
from evaluation.drift import ENOUGH
from evaluation.reference import of_categories, of_numbers
from registry import versions
from registry.prediction_tables import make
from rescue.metrics import RescueMetrics
from serving import artifact, catalogue
from serving.schema import ModelSchema, SchemaField, spec_of
from store import drift as kept
from store import models
from store.drift import ColumnRows
from store.engine import WatchedEngine, connect
from store.model_tables import State
from store.models import ModelEvent
from store.old_days import midnight
from tests.conftest import Servers, new_database

DAILY = 5_000
MOVED = datetime.now(UTC).date() - timedelta(days=1)
"""The day on which the age is 0.3 standard deviations higher than before."""
QUIET = MOVED - timedelta(days=1)

SCHEMA = ModelSchema(
    "Shop",
    (
        SchemaField("id", "id", "text", nullable=True),
        SchemaField("note", "note", "text", nullable=True),
        SchemaField("title", "title", "text"),
        SchemaField("age", "age", "double", nullable=True),
        SchemaField("visits", "visits", "bigint"),
        SchemaField("member", "member", "boolean"),
        SchemaField("country", "country", "text", nullable=True),
        SchemaField("at", "at", "timestamp"),
    ),
    (SchemaField("score", "score", "double", ge=0, le=1),),
    key="id",
    personal=("note",),
)
COMPARED = {"age", "visits", "member", "country", "score"}

PREDICT = text("""
INSERT INTO shop_predictions
    (task_id, position, id, note, title, age, visits, member, country, at, score, model_version, scored_at)
SELECT CAST('00000000-0000-7000-8000-' || lpad(to_hex(:day), 12, '0') AS uuid), n, 'k-' || n, 'a note', 'title ' || n,
    age, visits, visits > 2, country, now(), score, '1', CAST(:scored_at AS timestamptz) + n * interval '10 seconds'
FROM unnest(CAST(:ages AS float8[]), CAST(:visits AS bigint[]), CAST(:countries AS text[]), CAST(:scores AS float8[]))
    WITH ORDINALITY AS given (age, visits, country, score, n)
""")


class Rows:
    """The same distributions each day; a shift is in standard deviations of the age."""

    def __init__(self, seed: int, rows: int = DAILY, shift: float = 0.0) -> None:
        draw = np.random.default_rng(seed)
        self.ages: list[float | None] = draw.normal(40 + 10 * shift, 10, rows).tolist()
        self.visits: list[int] = draw.poisson(0.2, rows).tolist()
        self.countries: list[str | None] = draw.choice(["de", "fr", "it"], rows, p=[0.7, 0.25, 0.05]).tolist()
        self.scores: list[float] = draw.beta(2, 5, rows).tolist()

    def store(self, engine: Engine, day: date) -> None:
        with engine.begin() as connection:
            connection.execute(PREDICT, vars(self) | {"day": day.toordinal(), "scored_at": midnight(day)})


def add_shop(engine: Engine) -> None:
    """Make the model, with the evaluation that `millrace models add` makes of a sample."""
    sample = Rows(1, 20_000)
    reference = {
        "age": of_numbers(sample.ages),
        "visits": of_numbers(sample.visits),
        "member": of_numbers([visits > 2 for visits in sample.visits]),
        "country": of_categories(sample.countries),
    }
    evaluation = {"scores": of_numbers(sample.scores), "reference": reference}
    values = {"runtime": "xgboost", "schema": msgspec.to_builtins(SCHEMA), "manifest": {}, "digest": b"1"}
    event = ModelEvent("added", "me")
    with engine.begin() as connection:
        models.add_model(connection, "shop", "shop_predictions")
        models.add_version(connection, "shop", "1", event, evaluation=evaluation, **values)
        models.move(connection, "shop", "1", State.LIVE, event)
        models.lock(connection)
        make(connection, spec_of("shop", "shop_predictions", SCHEMA))


@pytest.fixture(scope="module")
def url(servers: Servers, template: str) -> Iterator[str]:
    url = new_database(servers, template)
    engine = connect(url)
    add_shop(engine)
    for ago in range(10):
        Rows(100 + ago, shift=0 if ago else 0.3).store(engine, MOVED - timedelta(days=ago))
    yield url
    engine.dispose()


@pytest.fixture
def shop(url: str) -> Iterator[Engine]:
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM drift"))
    yield engine
    engine.dispose()


@pytest.fixture
def watched(url: str) -> Iterator[WatchedEngine]:
    watched = WatchedEngine(url, 4)
    yield watched
    watched.dispose()


def run(url: str, *arguments: str) -> Result:
    # A command keeps the names of its first call's option for help, and the reference prints them.
    return CliRunner().invoke(drift, arguments, env={"DATABASE_URL": url}, help_option_names=["-h", "--help"])


def found(url: str, day: date) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is computed of the shop by column and reference."""
    done = run(url, "shop", "--json", "--day", str(day))
    assert done.exit_code == 0, done.output
    return {(one["column_name"], one["against"]): one for one in map(json.loads, done.stdout.splitlines())}


def told(engine: Engine, watched: WatchedEngine, name: str) -> dict[tuple[str, str], float]:
    """Return what rescue tells of the shop, by column and reference."""
    registry = CollectorRegistry()
    with engine.connect() as connection:
        RescueMetrics(registry).refresh(watched, versions.read(connection))
    samples = [sample for metric in registry.collect() for sample in metric.samples if sample.name == name]
    return {(one.labels.get("column", ""), one.labels.get("against", "")): one.value for one in samples}


@pytest.mark.usefixtures("shop")
def test_a_shift_of_three_tenths_of_a_standard_deviation_is_found_on_its_first_day(url: str) -> None:
    moved = found(url, MOVED)
    assert moved.keys() == {(column, against) for column in COMPARED for against in ("training", "week")}
    assert {place for place, one in moved.items() if one["found"]} == {("age", "training"), ("age", "week")}
    week = moved["age", "week"]
    assert week["findings"] == ["distribution"]
    assert (week["rows"], week["reference_rows"], week["day"]) == (DAILY, 7 * DAILY, str(MOVED))
    assert week["psi"] == pytest.approx(0.09, abs=0.02)
    quiet = found(url, QUIET)
    assert not any(one["found"] for one in quiet.values())


def test_the_table_keeps_each_day_once(url: str, shop: Engine) -> None:
    count_rows = text("SELECT count(*), count(DISTINCT (day, column_name, against)), max(computed_at) FROM drift")
    computed = []
    for _ in range(2):
        found(url, MOVED)
        found(url, QUIET)
        with shop.connect() as connection:
            rows, places, at = connection.execute(count_rows).one()
        assert rows == places == 2 * 2 * len(COMPARED)
        computed.append(at)
    assert computed[0] < computed[1]


def test_postgresql_counts_as_arrays_are_counted(shop: Engine) -> None:
    rows = Rows(7, 2_000)
    rows.ages[:50], rows.countries[:30] = [None] * 50, [None] * 30
    rows.ages[50], rows.countries[30:35] = float("nan"), ["es"] * 5
    day = MOVED - timedelta(days=30)
    rows.store(shop, day)
    numbers = numbers_reference(Rows(8).ages)
    categories = categories_reference(Rows(8).countries)
    with shop.connect() as connection:
        ages, countries = (
            ColumnRows("shop_predictions", name, kind, day, day + timedelta(days=1))
            for name, kind in (("age", "double"), ("country", "text"))
        )
        by_bin = kept.count_numbers(connection, ages, numbers.edges)
        by_name = kept.count_categories(connection, countries, categories.categories)
    expected = count(numbers, [np.nan if age is None else age for age in rows.ages])
    assert [by_bin.get(part, 0) for part in range(len(expected.parts))] == expected.parts
    assert by_bin[None] == expected.missing == 51
    expected = count(categories, rows.countries)
    assert [by_name[part] for part in range(1, 4)] == expected.parts
    assert (by_name[None], by_name[0]) == (expected.missing, expected.unseen) == (30, 5)


def test_missing_and_unseen_values_are_found(url: str, shop: Engine) -> None:
    rows = Rows(9, 2_000)
    rows.ages[:200], rows.countries[:100] = [None] * 200, ["es"] * 100
    day = MOVED - timedelta(days=20)
    rows.store(shop, day)
    computed = found(url, day)
    assert {place: one["findings"] for place, one in computed.items() if one["found"]} == {
        ("age", "training"): ["missing"],
        ("country", "training"): ["unseen"],
    }
    assert {one["found"] for (_, against), one in computed.items() if against == "week"} == {None}  # there was none


def test_too_few_rows_say_nothing(url: str, shop: Engine) -> None:
    day = MOVED - timedelta(days=40)
    Rows(10, ENOUGH - 1, shift=3).store(shop, day)
    assert {one["found"] for one in found(url, day).values()} == {None}
    assert "too few rows" in run(url, "shop", "--day", str(day)).output


def test_prometheus_is_told_of_the_last_day(url: str, shop: Engine, watched: WatchedEngine) -> None:
    assert told(shop, watched, "millrace_drift_found") == {}
    found(url, QUIET)
    assert set(told(shop, watched, "millrace_drift_found").values()) == {0}
    assert max(told(shop, watched, "millrace_drift_ratio").values()) < 1
    found(url, MOVED)
    assert {place for place, value in told(shop, watched, "millrace_drift_found").items() if value} == {
        ("age", "training"),
        ("age", "week"),
    }
    assert told(shop, watched, "millrace_drift_ratio")["age", "week"] > 3
    ended = midnight(MOVED + timedelta(days=1))
    assert set(told(shop, watched, "millrace_drift_compared_until_timestamp_seconds").values()) == {ended.timestamp()}


def test_prometheus_is_told_no_old_findings_and_when_they_ended(url: str, shop: Engine, watched: WatchedEngine) -> None:
    found(url, MOVED)
    with shop.begin() as connection:
        connection.execute(text("UPDATE drift SET day = day - 4"))
    assert told(shop, watched, "millrace_drift_found") == {}
    assert len(told(shop, watched, "millrace_drift_compared_until_timestamp_seconds")) == 1


@pytest.mark.usefixtures("shop")
def test_pictures_are_written(url: str, tmp_path: Path) -> None:
    done = run(url, "shop", "--day", str(MOVED), "--plot", str(tmp_path / "pictures"))
    assert done.exit_code == 0, done.output
    written = {path.stem: path.read_text() for path in (tmp_path / "pictures").iterdir()}
    assert written.keys() == {f"shop-{column}-{against}" for column in COMPARED for against in ("training", "week")}
    for svg in written.values():
        ElementTree.fromstring(svg)  # noqa: S314
    assert "drifted: distribution" in written["shop-age-week"]
    assert "2 of 10 comparisons found drift" in done.output


def test_what_cannot_be_compared_says_why(url: str) -> None:
    for arguments, words in (
        (["nobodys"], "there is no live version of 'nobodys'; there are: image_classifier"),
        (["--day", str(MOVED + timedelta(days=9))], "is not over"),
    ):
        done = run(url, *arguments)
        assert done.exit_code != 0
        assert words in done.output


@pytest.mark.usefixtures("shop")
def test_without_a_name_all_live_models_are_compared_for_yesterday(url: str) -> None:
    done = run(url, "--json")
    assert done.exit_code == 0, done.output
    of_models = {one["model"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert of_models.keys() == {"image_classifier", "report_scorer", "shop", "text_classifier", "translator"}
    assert of_models["report_scorer"]["rows"] == 0
    assert date.fromisoformat(of_models["report_scorer"]["day"]) >= MOVED  # later if it is midnight by now


@pytest.mark.parametrize("model", ["image_classifier", "report_scorer", "text_classifier"])
def test_a_model_with_a_score_comes_with_what_it_is_compared_with(model: str) -> None:
    assert catalogue.specs()[model].score
    held_out = artifact.current(model).evaluation["scores"]
    assert len(held_out["shares"]) == len(held_out["edges"]) + 1 > 2
    assert held_out["edges"] == sorted(set(held_out["edges"]))
    assert sum(held_out["shares"]) == pytest.approx(1, abs=1e-5)
