"""3.0 is an integer where the schema says integer, and is stored as the 3 that every worker reads."""

from typing import Any

import pytest

from handler.http.body import with_integers
from handler.problems import RequestRefused
from handler.submit.validation import validate
from models.report_scorer.spec import SPEC
from serving import wire
from tests.running import REPORT


def located(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return position, *place


@pytest.mark.parametrize("count", [1, wire.MANY])
@pytest.mark.parametrize("value", [3.0, 3])
def test_a_whole_number_with_a_point_is_stored_without(count: int, value: Any) -> None:
    found = validate(SPEC, {}, [REPORT | {"popularity": value, "report_text_len": 1e2}] * count, located)
    plain = validate(SPEC, {}, [REPORT | {"popularity": 3, "report_text_len": 100}] * count, located)
    assert found == plain
    assert wire.unpack(SPEC, [found.payload])["popularity"] == [3] * count


@pytest.mark.parametrize("value", [3.5, 2.0**53, -(2.0**70), float("nan"), "3.0", True])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(RequestRefused) as refusal:
        validate(SPEC, {}, [REPORT | {"report_text_len": value}], located)
    assert refusal.value.errors[0]["pointer"] == "#/0/report_text_len"


def test_only_what_a_float_holds_exactly_becomes_a_whole_number() -> None:
    assert repr(with_integers([2.0**53 - 1, 2.0**53, 0.5, {"a": -2.0}, True, "1.0"])) == (
        "[9007199254740991, 9007199254740992.0, 0.5, {'a': -2}, True, '1.0']"
    )
