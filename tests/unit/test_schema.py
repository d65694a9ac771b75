"""A schema that is data becomes a spec like those in code: the same names, columns, rules and payloads."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field

from serving import wire
from serving.contract import Column, Spec
from serving.schema import ModelSchema, SchemaField, plain_name, spec_of, takes

FIELDS = (
    SchemaField("mean radius", "mean_radius", "double", ge=0, example=17.99),
    SchemaField("V1", "v1", "bigint", nullable=True),
    SchemaField("country", "country", "text", choices=("DE", "FR")),
    SchemaField("copy", "copy_", "boolean"),
    SchemaField("seen", "seen", "timestamp"),
    SchemaField("id", "id", "text", nullable=True, max_length=5),
)
SCORE = SchemaField("score", "score", "double", ge=0, le=1)
SCHEMA = ModelSchema("Churn", FIELDS, (SCORE,), key="id")
INPUT = {"mean radius": 1.5, "V1": 3, "country": "FR", "copy": True, "seen": "2026-01-31T10:00:00+01:00", "id": "a"}
SEEN = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def spec() -> Spec:
    return spec_of("churn", "churn_predictions", msgspec.json.decode(msgspec.json.encode(SCHEMA), type=ModelSchema))


def test_fields_become_columns(spec: Spec) -> None:
    assert spec.input_columns == [Column(field.column, field.kind, field.nullable) for field in FIELDS]
    assert spec.score == "score"
    assert spec.example == {"mean radius": 17.99}


@pytest.mark.parametrize("many", [1, wire.MANY])
def test_callers_write_a_fields_own_name(spec: Spec, many: int) -> None:
    array = msgspec.json.encode([INPUT] * many)
    payload = wire.pack(spec, wire.decoder(spec).decode(array), array)
    columns = wire.unpack(spec, [payload])
    assert columns["mean_radius"] == [1.5] * many
    assert columns["seen"] == [SEEN] * many
    assert wire.inputs(payload)[0].keys() == INPUT.keys()


FAULTS = [
    {"mean radius": -1.0},
    {"mean_radius": 1.0},
    {"V1": 2**63},
    {"country": "IT"},
    {"seen": "2026-01-31T10:00:00"},
    {"id": "abcdef"},
    {"id": "\0"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_both_validators_refuse_what_breaks_a_rule(spec: Spec, fault: dict[str, Any]) -> None:
    array = msgspec.json.encode([INPUT | fault])
    with pytest.raises(ValueError, match=r"\w"):
        wire.decoder(spec).decode(array)
    with pytest.raises(ValueError, match=next(iter(fault))):
        wire.validator(spec).validate_json(array)


def test_inputs_of_an_earlier_schema_get_the_defaults_of_new_fields(spec: Spec) -> None:
    earlier = spec_of("churn", "churn_predictions", ModelSchema("Churn", FIELDS[:1] + FIELDS[2:], (SCORE,), key="id"))
    old = {name: value for name, value in INPUT.items() if name != "V1"}
    for many in (1, wire.MANY):
        array = msgspec.json.encode([old] * many)
        payload = wire.pack(earlier, wire.decoder(earlier).decode(array), array)
        assert wire.unpack(spec, [payload])["v1"] == [None] * many


NAMES = {
    "mean radius": "mean_radius",
    "V1": "v1",
    "order": "order_",
    "copy": "copy_",
    "task_id": "task_id_",
    "class": "class_",
    "1st": "c_1st",
    "größe": "gro_e",
    "": "field",
    'x"; DROP TABLE tasks; --': "x_drop_table_tasks",
    "\N{RIGHT-TO-LEFT OVERRIDE}age": "age",
    "x" * 100: "x" * 59,
}


@pytest.mark.parametrize(("name", "column"), NAMES.items(), ids=lambda name: ascii(name)[:20])
def test_a_column_has_a_plain_name(name: str, column: str) -> None:
    found = plain_name(name, set())
    assert found.isascii()
    assert found.isidentifier()
    assert len(found) < 64
    if name != "größe":  # without its accents, however they are spelt
        assert found == column


def test_names_that_become_equal_are_numbered() -> None:
    assert plain_name("A b", {"a_b", "a_b_2"}) == "a_b_3"


def change(number: int, **fields: Any) -> ModelSchema:
    changed = [msgspec.structs.replace(field, **fields) if n == number else field for n, field in enumerate(FIELDS)]
    return msgspec.structs.replace(SCHEMA, input=tuple(changed))


WIDER = {
    "the same": SCHEMA,
    "a bound dropped": change(0, ge=None),
    "a choice more": change(2, choices=("DE", "FR", "IT")),
    "nullable": change(0, nullable=True),
    "longer": change(5, max_length=9),
    "an optional field more": msgspec.structs.replace(
        SCHEMA, input=(*FIELDS, SchemaField("new", "new", "double", nullable=True))
    ),
}
NARROWER = {
    "a bound": change(0, ge=1),
    "a choice less": change(2, choices=("DE",)),
    "required": change(1, nullable=False),
    "shorter": change(5, max_length=3),
    "another kind": change(1, kind="double"),
    "a field less": msgspec.structs.replace(SCHEMA, input=FIELDS[1:]),
    "a required field more": msgspec.structs.replace(SCHEMA, input=(*FIELDS, SchemaField("new", "new", "double"))),
    "another key": msgspec.structs.replace(SCHEMA, key=None),
}


@pytest.mark.parametrize("schema", WIDER.values(), ids=WIDER)
def test_a_wider_schema_takes_what_was_accepted(schema: ModelSchema) -> None:
    assert takes(schema, SCHEMA)


@pytest.mark.parametrize("schema", NARROWER.values(), ids=NARROWER)
def test_a_narrower_schema_does_not(schema: ModelSchema) -> None:
    assert not takes(schema, SCHEMA)


def test_constraints_may_stand_inside_of_none() -> None:
    class Input(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
        size: Annotated[float, Field(ge=0)] | None = None

    spec = Spec("m", "M", Input, Input, "m_predictions")
    assert spec.input_columns == [Column("size", "double", nullable=True)]
    assert wire.decoder(spec).decode(b'[{"size": null}, {"size": 1.0}, {}]')[1].size == 1.0
    with pytest.raises(msgspec.ValidationError):
        wire.decoder(spec).decode(b'[{"size": -1.0}]')


def test_a_moment_is_the_same_in_every_zone() -> None:
    field = msgspec.structs.replace(SCHEMA, input=(FIELDS[4],), key=None)
    spec = spec_of("m", "m_predictions", field)
    (row,) = wire.decoder(spec).decode(b'[{"seen": "2026-01-31T11:00:00+02:00"}]')
    assert row.seen - SEEN == timedelta(0)
