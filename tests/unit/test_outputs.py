"""What a model answers is checked whole, before it is stored: types, ranges, rules, lengths; by whatever container."""

import dataclasses
from decimal import Decimal
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model, field_validator

from serving.catalogue import specs
from serving.contract import MAX_BIGINT, MAX_INTEGER, Base64, Spec
from worker.scoring.output_validation import WrongOutputs, as_list, checked, valid_rows

ANY = specs()["report_scorer"]


class Answer(BaseModel):
    score: Annotated[float, Field(ge=0, le=1)]
    excess: Annotated[float, Field(gt=0, lt=10)]
    free: float
    perhaps: float | None
    grade: Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    count: int
    dozens: Annotated[int, Field(multiple_of=12)]
    is_bad: bool
    label: Annotated[str, Field(pattern="^[a-z]+$", min_length=2, max_length=4)]
    text: str
    note: Annotated[str | None, Field(max_length=3)]
    kind: Literal["a", "b"]
    stars: Literal[1, 2]
    thumb: Annotated[Base64, Field(max_length=4)]
    words: Annotated[list[str], Field(min_length=1, max_length=2)]
    shares: list[float]


SPEC: Spec = dataclasses.replace(ANY, output=Answer)
GOOD: dict[str, list[Any]] = {
    "score": [0.0, 1.0],
    "excess": [0.1, 9],
    "free": [-1e300, 5],
    "perhaps": [None, 0.5],
    "grade": [MAX_INTEGER, -MAX_INTEGER],
    "count": [MAX_BIGINT, -MAX_BIGINT - 1],
    "dozens": [0, 24],
    "is_bad": [True, False],
    "label": ["ab", "abcd"],
    "text": ["", "日本 \U0001f600"],
    "note": [None, "abc"],
    "kind": ["a", "b"],
    "stars": [1, 2],
    "thumb": [b"", b"\0\xff"],
    "words": [["a"], ["b", "c"]],
    "shares": [[], [0.1, 3]],
}

WRONG: dict[str, list[Any]] = {
    "score": [1.5, -0.1, float("nan"), float("inf"), "0.5", None, True, b"1", [0.5], Decimal("0.5"), 10**400],
    "excess": [0, 10, 0.0, 10.0, -float("inf")],
    "free": [float("nan"), float("inf"), "x", None, False, 1j],
    "perhaps": [float("nan"), "x", True],
    "grade": [2**31, -(2**31) - 1, 3.9, float("nan"), float("inf"), "3", None, True, 2.0**31],
    "count": [2**63, -(2**63) - 1, 3.9, 1e300, 2.0**63, None, False],
    "dozens": [13, 2**63, 12.5],
    "is_bad": [1, 0, "true", None, 1.0],
    "label": ["a", "abcde", "AB", "", None, 5, b"ab", "ab\n"],
    "text": ["\0", "a\0b", "\ud800", "a\udfff", None, 5, b"x", True, ["x"]],
    "note": ["abcd", "\0", 5],
    "kind": ["c", "A", None, 1, ""],
    "stars": [3, 0, True, "1", None, 1.5],
    "thumb": ["x", None, b"12345", 5, [1]],
    "words": [[], ["a", "b", "c"], ["a\0"], ["\ud800"], ["a", None], [5], "ab", None],
    "shares": [[float("nan")], [0.1, float("inf")], ["x"], [None], None, 0.5, [[0.1]], [True]],
}


def with_one(name: str, wrong: Any) -> dict[str, Any]:
    return {**GOOD, name: [GOOD[name][0], wrong]}


def test_sound_answers_are_kept_as_they_are() -> None:
    assert {name: list(values) for name, values in checked(SPEC, GOOD, 2).items()} == GOOD


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, values in WRONG.items() for wrong in values])
def test_a_wrong_value_is_refused_by_column_position_and_value(name: str, wrong: Any) -> None:
    with pytest.raises(WrongOutputs, match=f"^{name} at position 1 is ") as refused:
        checked(SPEC, with_one(name, wrong), 2)
    assert repr(wrong)[:80] in str(refused.value)
    assert len(str(refused.value)) < 300


ARRAYS = [
    ("score", np.array([0.5, 1.0000001])),
    ("score", np.array([0.5, np.nan])),
    ("score", np.array([0.5, 2], np.float32)),
    ("score", np.array([0, 2])),
    ("score", np.array([0.5, np.inf], np.longdouble)),
    ("score", np.array([True, True])),
    ("score", np.array(["0.5", "0.6"])),
    ("score", np.array([0.5, None], object)),
    ("score", np.array([[0.5], [0.5]])),
    ("excess", np.array([0.5, 10])),
    ("excess", np.array([0.5, 0])),
    ("free", np.array([0.5, -np.inf])),
    ("free", np.array([1, 2j])),
    ("perhaps", np.array([0.5, np.nan])),
    ("grade", np.array([1, 2**31])),
    ("grade", np.array([1, 3.9])),
    ("grade", np.array([1, np.nan])),
    ("grade", np.array([1, 2.0**31])),
    ("grade", np.array([True, False])),
    ("grade", np.array(["2026-01-01"] * 2, "M8[D]")),
    ("count", np.array([1, 2**63], np.uint64)),
    ("count", np.array([1, 2.0**63])),
    ("dozens", np.array([12, 13])),
    ("is_bad", np.array([0, 1])),
    ("label", np.array(["ab", "ABC"])),
    ("stars", np.array([1, 3])),
    ("shares", np.array([[0.1, 0.2], [np.nan, 0.1]])),
    ("words", np.array([["a"], ["b\0c"]], object)),
]


@pytest.mark.parametrize(("name", "values"), ARRAYS)
def test_a_wrong_array_is_refused_as_a_list_would_be(name: str, values: np.ndarray[Any, Any]) -> None:
    with pytest.raises(WrongOutputs, match=f"^{name} at position [01] is "):
        checked(SPEC, {**GOOD, name: values}, 2)


SAME = [
    ("score", np.array([0, 1], np.int8), [0, 1]),
    ("score", np.array([0.5, 0.25], np.float16), [0.5, 0.25]),
    ("score", (0.5, 1), [0.5, 1]),
    ("score", [np.float32(0.5), np.int64(1)], [0.5, 1]),
    ("grade", np.array([3.0, -4.0]), [3, -4]),
    ("grade", [3.0, np.float64(4)], [3, 4]),
    ("grade", np.array([200, 7], np.uint8), [200, 7]),
    ("count", np.array([2**63 - 1, -(2**63)]), [2**63 - 1, -(2**63)]),
    ("is_bad", np.array([True, False]), [True, False]),
    ("is_bad", [np.True_, False], [True, False]),
    ("label", np.array(["ab", "cd"]), ["ab", "cd"]),
    ("perhaps", np.array([None, 0.5], object), [None, 0.5]),
    ("shares", np.array([[0.1, 0.2], [0.3, 0.4]]), [[0.1, 0.2], [0.3, 0.4]]),
    ("shares", [np.array([0.5]), (1, 2)], [[0.5], [1, 2]]),
    ("words", [("a",), np.array(["b"])], [["a"], ["b"]]),
]


@pytest.mark.parametrize(("name", "given", "stored"), SAME)
def test_numpy_and_tuples_say_the_same_as_lists(name: str, given: Any, stored: list[Any]) -> None:
    found = as_list(checked(SPEC, {**GOOD, name: given}, 2)[name])
    assert list(found) == stored
    assert [type(value) for value in found if value is not None] == [type(v) for v in found if v is not None]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (None, "gave a NoneType, not one column"),
        ([0.5, 0.5], "gave a list, not one column"),
        ({name: values for name, values in GOOD.items() if name != "grade"}, "gave no 'grade'"),
        ({**GOOD, "debug": [1, 2]}, "gave debug, which its spec's output does not have"),
        ({**GOOD, "score": [0.5]}, "gave 1 values of 'score' for 2 inputs"),
        ({**GOOD, "score": np.zeros(3)}, "gave 3 values of 'score' for 2 inputs"),
        ({**GOOD, "score": np.float64(0.5)}, "gave a float64 as 'score'"),
        ({**GOOD, "score": np.array(0.5)}, "gave one value of 'score' for 2 inputs"),
        ({**GOOD, "label": "ab"}, "gave a str as 'label'"),
        ({**GOOD, "score": {0: 0.5, 1: 0.5}}, "gave a dict as 'score'"),
        ({**GOOD, "score": None}, "gave a NoneType as 'score'"),
        ({**GOOD, "score": (value for value in (0.5, 0.5))}, "gave a generator as 'score'"),
    ],
)
def test_what_is_not_one_column_a_field_is_refused(outputs: Any, words: str) -> None:
    with pytest.raises(WrongOutputs, match=words):
        checked(SPEC, outputs, 2)


@given(st.lists(st.one_of(st.floats(), st.integers()), min_size=1, max_size=5))
def test_numpy_and_pydantic_are_of_one_mind(values: list[float]) -> None:
    for name in ("score", "excess", "free"):
        field = Answer.model_fields[name]
        rule: Any = Annotated[float, *field.metadata, Field(allow_inf_nan=False, strict=True)]
        try:
            TypeAdapter(list[rule]).validate_python(list(map(float, values)))
            allowed = True
        except (ValidationError, OverflowError):
            allowed = False
        try:
            checked(only(name), {name: np.array(list(map(float, values)))}, len(values))
            kept = True
        except (WrongOutputs, OverflowError):
            kept = False
        assert kept == allowed


def only(name: str) -> Spec:
    return dataclasses.replace(ANY, output=create_model(name, **{name: (float, Answer.model_fields[name])}))


def test_rows_of_the_cache_are_sound_or_none() -> None:
    rows = [list(row) for row in zip(*GOOD.values(), strict=True)]
    assert valid_rows(SPEC, rows) == [tuple(row) for row in rows]
    for junk in (None, 5, "x", [], rows[0][:-1], [*rows[0], 1], {"score": 1}, [None] * len(rows[0])):
        assert valid_rows(SPEC, [rows[0], junk, rows[1]]) == [tuple(rows[0]), None, tuple(rows[1])]
    assert valid_rows(SPEC, []) == []


def test_rules_that_would_not_be_kept_are_said_when_the_model_is_loaded() -> None:
    class Validated(BaseModel):
        score: float

        @field_validator("score")
        @classmethod
        def _even(cls, value: float) -> float:
            return value

    with pytest.raises(TypeError, match="use the constraints of Field"):
        checked(dataclasses.replace(ANY, output=Validated), {"score": [1.0]}, 1)
