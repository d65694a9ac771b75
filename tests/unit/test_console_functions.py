"""What the console works out without a database: whose session lasts, keys as columns hold them, places of faults."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Double, Integer, Text

from console.rendering import DASH, memory
from console.session import LASTS, SKEW, lasts
from console.try_it import _by_field
from handler.pointer import pointer
from store.task_search import as_kind

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "expected"), [(0, True), (LASTS, True), (LASTS + 1, False), (-SKEW, True), (-SKEW - 1, False)]
)
def test_a_session_lasts_by_a_clock_that_is_a_little_behind(age: int, expected: bool) -> None:
    assert lasts(NOW - timedelta(seconds=age), NOW) is expected


@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [
        (Text(), "12", "12"),
        (Integer(), "12", 12),
        (Integer(), "r-12", None),
        (Integer(), str(2**31), None),
        (BigInteger(), str(2**31), 2**31),
        (BigInteger(), str(-(2**63) - 1), None),
        (Double(), "1.5", 1.5),
        (Double(), "half", None),
        (Boolean(), "True", True),
        (Boolean(), "1", None),
    ],
)
def test_a_key_is_what_its_column_holds_or_none(kind: Any, key: str, expected: Any) -> None:
    assert as_kind(kind, key) == expected


@pytest.mark.parametrize("name", ["plain", "two words", "a/b", "a~1b", "50%", "größe", "#"])
def test_a_fault_stands_at_its_field_whatever_its_name(name: str) -> None:
    assert _by_field([{"pointer": pointer((name, 3)), "detail": "wrong"}]) == {name: "wrong"}


@pytest.mark.parametrize(
    ("size", "words"), [(None, DASH), (431_226_880, "411 MiB"), (10 * 2**30, "10.0 GiB"), (9 * 2**30, "9,216 MiB")]
)
def test_memory_is_said_in_the_unit_in_which_limits_are_set(size: int | None, words: str) -> None:
    assert memory(size) == words
