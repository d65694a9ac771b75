"""The fast decoder and pydantic agree: nothing enters through the one that the other would refuse."""

import base64
import json
from typing import Annotated, Any, Literal

import annotated_types
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.report_scorer.spec import SPEC
from serving import wire
from serving.contract import NO_NUL, Base64, Column, Spec
from tests.running import REPORT


class Everything(BaseModel):
    """An input with every type and constraint that the twin knows."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    word: Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]+$")]
    kind: Literal["a", "b"]
    count: Annotated[int, Field(ge=-3, le=3)]
    ratio: Annotated[float, Field(ge=-1, le=1)]
    sure: bool
    raw: Annotated[Base64, Field(min_length=1, max_length=4)]
    ratios: Annotated[list[float], Field(max_length=3)]
    note: Annotated[str | None, Field(max_length=2, pattern=NO_NUL)] = None
    level: Annotated[int, Field(ge=0, le=9)] = 5


class Empty(BaseModel):
    pass


def spec(model: type[BaseModel]) -> Spec:
    return Spec(name="m", title="A model", input=model, output=Empty, table="t")


def field(annotation: Any, **config: Any) -> Spec:
    settings = ConfigDict(**{"allow_inf_nan": False, **config})
    return spec(type("One", (BaseModel,), {"__annotations__": {"field": annotation}, "model_config": settings}))


EVERYTHING = spec(Everything)
GOOD = {
    "word": "abc",
    "kind": "a",
    "count": 1,
    "ratio": 0.5,
    "sure": True,
    "note": None,
    "level": 1,
    "raw": "AAH/",
    "ratios": [1, 0.5],
}

numbers = (
    st.sampled_from(["0", "-0", "-0.0", "1", "1.0", "1e0", "3", "4", "-3", "-4", "5e-1", "1.0000000000000001", "1e400"])
    | st.sampled_from(["2147483648", "18446744073709551616", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1."])
    | st.floats(width=64).map(json.dumps)
)
texts = st.text(max_size=4).map(json.dumps) | st.sampled_from(
    ['"abc"', '"abc\\n"', '"a"', '"b"', '"a\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00\\ud800"', '"\t"', '"']
)
values = (
    numbers
    | texts
    | st.sampled_from(["null", "true", "false", "[]", "{}", "[[1]]", "", "nul"])
    | st.sampled_from(
        ['"AAA="', '"AAA"', '"AAB="', '"AA=="', '"AB=="', '"A-_="', '"AA\\nA="', '"AAAAAAAA"', '"AAA=AAA="']
    )
    | st.lists(st.floats().map(json.dumps), max_size=4).map(lambda items: f"[{','.join(items)}]")
    | st.integers().map(str)
)
names = st.sampled_from(['"word"', '"wor\\u0064"', '"Word"', '""', '"é"', "word"]) | st.text(max_size=3).map(json.dumps)


@st.composite
def near_valid(draw: st.DrawFn, good: dict[str, object], max_rows: int = 3) -> bytes:
    """An array of inputs, most of them right, some with one thing or another wrong."""
    rows = []
    for _ in range(draw(st.integers(0, max_rows))):
        members = [(json.dumps(name), json.dumps(value)) for name, value in good.items()]
        for position in draw(st.lists(st.integers(0, len(members) - 1), max_size=2)):
            members[position] = (members[position][0], draw(values))
        if draw(st.integers(0, 9)) == 0:
            members.append((draw(names), draw(values)))
        if draw(st.integers(0, 9)) == 0:
            members.pop(draw(st.integers(0, len(members) - 1)))
        if draw(st.integers(0, 9)) == 0:
            members.append(members[0])
        rows.append("{" + ",".join(f"{name}:{value}" for name, value in draw(st.permutations(members))) + "}")
    body = ("[" + ",".join(rows) + "]").encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(body)))
        body = body[:cut] + draw(st.binary(max_size=2)) + body[cut + draw(st.integers(0, 1)) :]
    return body


def decoded(of: Spec, body: bytes) -> list[dict[str, object]] | None:
    try:
        return [msgspec.structs.asdict(row) for row in wire.decoder(of).decode(body)]
    except ValueError:  # whatever else it raises would be a 500
        return None


def validated(of: Spec, body: bytes) -> list[Any] | None:
    try:
        return wire.validator(of).validate_json(body)
    except ValidationError:
        return None


@pytest.mark.parametrize(("of", "good"), [(EVERYTHING, GOOD), (SPEC, REPORT | {"report_id": "r-1"})])
def test_what_the_decoder_accepts_pydantic_accepts_with_the_same_values(of: Spec, good: dict[str, object]) -> None:
    @settings(max_examples=1000, deadline=None)
    @given(near_valid(good))
    def agree(body: bytes) -> None:
        fast, slow = decoded(of, body), validated(of, body)
        if fast is not None:
            assert slow is not None, body
            assert repr(fast) == repr([dict(row) for row in slow]), body
        if slow is not None:  # and a worker can decode what pydantic alone accepted
            assert decoded(of, wire.validator(of).dump_json(slow)) == [dict(row) for row in slow], body

    agree()


def test_most_of_the_generated_inputs_are_not_refused_for_their_syntax() -> None:
    accepted = []

    @settings(max_examples=300, deadline=None, database=None)
    @given(near_valid(GOOD, max_rows=1))
    def count(body: bytes) -> None:
        accepted.append(bool(decoded(EVERYTHING, body)))

    count()
    assert 0.1 < sum(accepted) / len(accepted) < 0.9, "the property above would say little"


def test_a_last_newline_does_not_slip_past_a_pattern() -> None:
    assert decoded(EVERYTHING, json.dumps([GOOD | {"word": "ab\n"}]).encode()) is None


def test_a_dollar_that_is_escaped_stays_a_dollar() -> None:
    price = field(Annotated[str, Field(pattern=r"^[0-9]+\$$")])
    assert decoded(price, b'[{"field":"12$"}]') == [{"field": "12$"}]
    assert decoded(price, b'[{"field":"12"}]') is None


def test_columns_hold_one_list_a_field_in_the_order_of_the_inputs() -> None:
    rows = wire.decoder(EVERYTHING).decode(json.dumps([GOOD | {"count": n} for n in (1, 2, 3)]).encode())
    columns = wire.columns(EVERYTHING, rows)
    assert list(columns) == list(Everything.model_fields)
    assert columns["count"] == [1, 2, 3]
    assert columns["note"] == [None, None, None]


def test_a_field_left_out_takes_its_default() -> None:
    row = {name: value for name, value in GOOD.items() if name not in ("note", "level")}
    columns = wire.columns(EVERYTHING, wire.decoder(EVERYTHING).decode(json.dumps([row]).encode()))
    assert (columns["note"], columns["level"]) == ([None], [5])


def test_a_spec_becomes_columns_of_neutral_kinds() -> None:
    assert EVERYTHING.input_columns == [
        Column("word", "text", False),
        Column("kind", "text", False),
        Column("count", "integer", False),
        Column("ratio", "double", False),
        Column("sure", "boolean", False),
        Column("raw", "bytes", False),
        Column("ratios", "double[]", False),
        Column("note", "text", True),
        Column("level", "integer", False),
    ]
    assert field(int).input_columns == [Column("field", "bigint", False)]


@pytest.mark.parametrize("annotation", [list[int], dict[str, int], set[str], int | str, Any])
def test_a_type_without_a_column_is_named_with_the_types_that_have_one(annotation: Any) -> None:
    with pytest.raises(TypeError, match=r"'field'.*use str, int, float or bool"):
        assert field(annotation).input_columns


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (field(str), "text must not hold a NUL.*pattern=NO_NUL"),
        (field(Annotated[int, Field(ge=0)]), "an int needs bounds of 64 bits.*both ge and le"),
        (field(Annotated[int, Field(ge=0, le=2**63)]), "an int needs bounds of 64 bits"),
        (field(Annotated[int, Field(gt=0)]), r"Gt.*use ge, le, min_length, max_length or pattern"),
        (field(Annotated[int, Field(multiple_of=2)]), "MultipleOf"),
        (field(Annotated[str, annotated_types.Predicate(str.isdigit)]), "Predicate"),
        (field(Annotated[str, AfterValidator(str.strip)]), "AfterValidator"),
        (field(Annotated[str, Field(validation_alias="other")]), "alias"),
        (field(Annotated[str, Field(default_factory=str)]), "default_factory"),
        (field(list[str]), "it can be an output only"),
        (field(str, str_max_length=3), "str_max_length"),
        (field(float, allow_inf_nan=True), "allow_inf_nan=False"),
    ],
)
def test_a_rule_that_the_decoder_cannot_keep_is_refused_when_it_is_built(of: Spec, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        wire.row(of)


def test_validators_of_pydantics_are_refused_because_the_decoder_would_not_run_them() -> None:
    class Validated(Everything):
        @field_validator("count")
        @classmethod
        def check(cls, count: int) -> int:
            return count

    with pytest.raises(TypeError, match="validators have no fast twin"):
        wire.row(spec(Validated))


@pytest.mark.parametrize("escaped", [rb"\u0000", rb"\\\u0000", rb"C:\\\\\u0000"])
def test_a_nul_is_found_in_every_form_of_a_body(escaped: bytes) -> None:
    report = json.dumps(REPORT | {"report_id": "?"}).encode().replace(b"?", escaped)
    decoder = wire.decoder(SPEC)
    for decode, text in (
        (decoder.decode, b"[%s]" % report),
        (decoder.decode_one, report),
        (decoder.decode_lines, report),
    ):
        with pytest.raises(msgspec.ValidationError, match="NUL"):
            decode(text)


@pytest.mark.parametrize("escaped", [rb"\\u0000", rb"C:\\\\u0000", rb"u0000"])
@pytest.mark.parametrize("count", [1, wire.MANY - 1, wire.MANY])
def test_a_backslash_before_u0000_is_a_text(escaped: bytes, count: int) -> None:
    report = json.dumps(REPORT | {"report_id": "?"}).encode().replace(b"?", escaped)
    body = b"[%s]" % b",".join([report] * count)
    payload = wire.pack(SPEC, wire.decoder(SPEC).decode(body), body)
    assert wire.unpack(SPEC, [payload])["report_id"] == [json.loads(report)["report_id"]] * count
    assert wire.canonical(SPEC, payload) == wire.canonical(SPEC, body)


class TestPayloads:
    rows = st.lists(
        st.fixed_dictionaries(
            {
                "word": st.text("abc", min_size=1, max_size=3),
                "kind": st.sampled_from(["a", "b"]),
                "count": st.integers(-3, 3),
                "ratio": st.floats(-1, 1) | st.integers(-1, 1),
                "sure": st.booleans(),
                "raw": st.binary(min_size=1, max_size=4).map(lambda raw: base64.b64encode(raw).decode()),
                "ratios": st.lists(st.floats(-9, 9), max_size=3),
            },
            optional={"note": st.none() | st.text("xyz", max_size=2), "level": st.integers(0, 9)},
        ),
        min_size=1,
        max_size=2 * wire.MANY,
    )

    @given(st.lists(rows, min_size=1, max_size=4))
    @settings(max_examples=60, deadline=None)
    def test_what_is_packed_is_unpacked_in_its_order_with_its_types(self, tasks: list[list[dict[str, Any]]]) -> None:
        of = spec(Everything)
        bodies = [json.dumps(rows).encode() for rows in tasks]
        decoded = [wire.decoder(of).decode(body) for body in bodies]
        payloads = [wire.pack(of, rows, body) for rows, body in zip(decoded, bodies, strict=True)]
        found = wire.unpack(of, payloads)
        expected = wire.columns(of, [row for rows in decoded for row in rows])
        assert found == expected
        kinds = {name: list(map(type, values)) for name, values in expected.items()}
        assert {name: list(map(type, values)) for name, values in found.items()} == kinds

    def test_an_array_may_begin_with_blanks(self) -> None:
        body = b"\r\n\t " + json.dumps([REPORT]).encode() + b" \n"
        payload = wire.pack(SPEC, wire.decoder(SPEC).decode(body), body)
        assert wire.unpack(SPEC, [payload, payload])["popularity"] == [REPORT["popularity"]] * 2

    def test_few_inputs_stay_as_they_came_and_many_become_short(self) -> None:
        few, many = [REPORT] * (wire.MANY - 1), [REPORT] * 100
        for reports in (few, many):
            body = json.dumps(reports).encode()
            payload = wire.pack(SPEC, wire.decoder(SPEC).decode(body), body)
            assert (payload == body) == (reports is few)
            assert len(payload) <= len(body)
            assert [REPORT.items() <= shown.items() for shown in wire.inputs(payload)] == [True] * len(reports)
