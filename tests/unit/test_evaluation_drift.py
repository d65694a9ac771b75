"""Quiet days raise no alarm at any number of rows; a shift is found on the first day."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, norm

from evaluation.columns import categories_reference, count, numbers_reference
from evaluation.drift import BINS, Counted, chi_squared, compare, jensen_shannon, merged, psi
from evaluation.linear import Floats
from evaluation.reference import edges_of, of_categories, of_numbers, read
from registry.inspection.evaluation import reference
from serving.contract import Kind
from serving.schema import ModelSchema, SchemaField

DAYS = 200
QUARTERS = np.full(BINS, 1 / BINS)
RARE = 1 / np.arange(1, 61) ** 1.5
"""Sixty categories, most of them rare."""


def days(draw: np.random.Generator, shares: Floats, reference: int, rows: int, count: int) -> list[list[str]]:
    """Compare so many quiet days with a reference, each column with 2 % missing values."""
    full = np.append(0.98 * shares / shares.sum(), 0.02)
    was = draw.multinomial(reference, full)
    known = was[:-1] > 0
    before = Counted(was[:-1][known].tolist(), int(was[-1]))
    found = []
    for now in draw.multinomial(rows, full, size=count):
        parts, unseen = now[:-1][known].tolist(), int(now[:-1][~known].sum())
        found.append(compare(before, Counted(parts, int(now[-1]), unseen)).drifted)
    return found


@pytest.mark.parametrize("rows", [500, 2_000, 20_000, 1_000_000])
@pytest.mark.parametrize("reference", [5_000, 1_000_000])
def test_quiet_days_raise_no_alarm(rows: int, reference: int) -> None:
    draw = np.random.default_rng(rows + reference)
    found = [
        alarms
        for shares in (QUARTERS, RARE)
        for _ in range(10)  # references
        for alarms in days(draw, shares, reference, rows, DAYS // 10)
    ]
    assert len(found) == 2 * DAYS
    assert sum(map(bool, found)) <= 0.01 * len(found)


@pytest.mark.parametrize("reference", [5_000, 100_000])
def test_a_shift_of_three_tenths_of_a_standard_deviation_is_found_on_the_first_day(reference: int) -> None:
    draw = np.random.default_rng(1)
    for _ in range(50):
        was = numbers_reference(draw.normal(size=reference))
        assert compare(was.counted, count(was, draw.normal(0.3, size=5_000))).drifted == ["distribution"]


def test_more_missing_and_unseen_values_are_found() -> None:
    was = Counted([5_000, 5_000], missing=100)
    assert compare(was, Counted([2_450, 2_350], missing=200)).drifted == ["missing"]
    assert compare(was, Counted([2_450, 2_400], missing=50, unseen=100)).drifted == ["unseen"]
    assert compare(was, Counted([200, 100], missing=50, unseen=100)).drifted == []  # too few rows


@pytest.mark.parametrize(("reference", "rows"), [(20_000, 500), (5_000, 5_000), (1_000_000, 20_000)])
def test_the_band_is_that_of_resampling(reference: int, rows: int) -> None:
    draw = np.random.default_rng(2)
    pairs = zip(draw.multinomial(reference, QUARTERS, 20_000), draw.multinomial(rows, QUARTERS, 20_000), strict=True)
    before, after = map(np.array, zip(*pairs, strict=True))
    was, now = before / reference, after / rows
    resampled = np.quantile(((now - was) * np.log(now / was)).sum(axis=1), 0.99)
    assert (1 / reference + 1 / rows) * chi_squared(BINS - 1, 0.01) == pytest.approx(resampled, rel=0.05)


def test_the_quantile_and_the_divergence_are_scipys() -> None:
    for freedom in (2, 4, 9, 50, 999):
        assert chi_squared(freedom, 0.001) == pytest.approx(chi2.isf(0.001, freedom), rel=0.03)
    was, now = [50, 30, 20], [20, 30, 50]
    assert jensen_shannon(was, now) == pytest.approx(jensenshannon([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], base=2) ** 2)


def test_the_index_of_shifted_normal_numbers_is_about_the_square_of_the_shift() -> None:
    edges = norm.ppf(np.arange(1, 200) / 200)
    counts = [(1e6 * np.diff(norm.cdf(edges - shift), prepend=0, append=1)).tolist() for shift in (0, 0.3)]
    assert psi(*counts) == pytest.approx(0.09, abs=0.003)


def test_small_parts_are_counted_as_one() -> None:
    before, after = merged([1_000, 12, 3, 2, 900], [990, 13, 2, 4, 910])
    assert sorted(before) == [17, 900, 1_000]
    assert sum(after) == 990 + 13 + 2 + 4 + 910
    with pytest.raises(ValueError, match="2 parts, the rows have 3"):
        merged([1, 2], [1, 2, 3])


def test_values_are_counted_against_their_reference() -> None:
    numbers = numbers_reference([*range(100), float("nan")])
    assert len(numbers.edges) == BINS - 1
    assert numbers.counted == Counted([10] * 10, missing=1)
    assert count(numbers, [-5.0, 1_000.0, float("nan")]) == Counted([1, *[0] * 8, 1], missing=1)
    categories = categories_reference(["b", "a", "b", None])
    assert categories.categories == ["b", "a"]
    assert count(categories, ["a", "c", None, "a"]) == Counted([0, 2], missing=1, unseen=1)


def test_a_value_of_many_rows_has_a_bin_of_its_own() -> None:
    """A column that was nearly always 0, and then never is, has moved, though nothing is below 0."""
    was = numbers_reference([0] * 990 + [3] * 10)
    assert [bool(part) for part in was.counted.parts] == [False, True, True]
    assert compare(was.counted, count(was, [0] * 900 + [3] * 100)).drifted == ["distribution"]
    assert edges_of([1.0, 2.0, 2.0, 3.0])[:2] == [1.0, 2.0]
    assert len(edges_of([1.0, 2.0, 2.0, 3.0])) == 4


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_an_evaluation_holds_what_a_column_was_like(scale: float) -> None:
    values = (scale * np.random.default_rng(3).normal(size=5_000)).tolist()
    held = read(json.loads(json.dumps(of_numbers([*values, None]))))
    assert len(held.edges) == BINS - 1
    assert held.counted == count(held, [*values, float("nan")])
    categories = of_categories(["b", "a", "b", None, "a", "b"])
    assert categories == {"categories": ["b", "a"], "shares": [0.6, 0.4], "rows": 5, "missing": 1}
    assert read(categories).counted == Counted([3, 2], missing=1)
    assert of_categories([f"a text {number}" for number in range(1_000)]) is None


@pytest.mark.parametrize(
    "scores", [[0.5] * 1_000, [number / 1_000 for number in range(1_000)], [1.0] * 900 + [0.2] * 100]
)
def test_a_reference_lies_at_no_distance_from_itself(scores: list[float]) -> None:
    held = read(of_numbers(scores))
    assert compare(held.counted, count(held, scores)).psi.value == pytest.approx(0, abs=1e-9)


def test_an_added_model_keeps_what_its_inputs_were_like_and_no_ones_texts() -> None:
    kinds: dict[str, Kind] = {"id": "bigint", "note": "text", "title": "text", "age": "double", "country": "text"}
    fields = tuple(SchemaField(name, name, kind) for name, kind in kinds.items())
    schema = ModelSchema("Shop", fields, (), key="id", personal=("note",))
    titles = [f"title {number}" for number in range(50)]
    columns = {"id": range(50), "note": ["a"] * 50, "title": titles, "age": [None, *range(49)], "country": ["de"] * 50}
    held = reference(schema, columns)
    assert held.keys() == {"age", "country"}
    assert held["age"]["missing"] == 1
    assert held["country"] == {"categories": ["de"], "shares": [1.0], "rows": 50}
