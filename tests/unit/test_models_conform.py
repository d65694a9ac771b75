"""What every served model keeps to, whoever wrote it: the contract, tried on each model of the catalogue."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serving import artifact, catalogue, wire
from serving.artifact import ArtifactTampered
from serving.contract import Columns, Spec
from serving.visible import is_blank
from tests.artifacts import on_disk
from worker.scoring import loaded_models
from worker.scoring.loaded_models import GoldenRowsDiffer, ModelInstance
from worker.scoring.output_validation import predict_checked
from worker.scoring.prediction import batches

MODELS = list(catalogue.specs())
LOADED: dict[str, ModelInstance] = {}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> ModelInstance:
    """The model, loaded as a worker loads it, once for all tests."""
    name: str = request.param
    if name not in LOADED:
        LOADED[name] = loaded_models.load(*on_disk(name))
    return LOADED[name]


def golden_inputs(model: ModelInstance) -> list[dict[str, Any]]:
    rows = [row["input"] for row in model.artifact.golden()]
    assert len(rows) >= 3, "too few golden rows to say anything"
    return rows


def columns(spec: Spec, rows: list[dict[str, Any]]) -> Columns:
    """Take inputs the way of a submission: through JSON."""
    return wire.columns(spec, wire.decoder(spec).decode(json.dumps(rows).encode()))


def outputs(model: ModelInstance, rows: list[dict[str, Any]]) -> list[list[Any]]:
    """Return one list of outputs an input."""
    predicted = predict_checked(model.spec, model.predictor, columns(model.spec, rows))
    lists = [
        values.tolist() if hasattr(values := predicted[column.name], "tolist") else list(values)
        for column in model.spec.output_columns
    ]
    return [list(row) for row in zip(*lists, strict=True)]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float):
        return math.isclose(one, other, abs_tol=1e-5)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_the_golden_rows_are_valid_and_come_out_as_recorded(model: ModelInstance) -> None:
    for row in model.artifact.golden():
        model.spec.input.model_validate_json(json.dumps(row["input"]))
        model.spec.output.model_validate_json(json.dumps(row["output"]))
    found = outputs(model, golden_inputs(model))
    names = [column.name for column in model.spec.output_columns]
    recorded = [[row["output"][name] for name in names] for row in model.artifact.golden()]
    assert same(found, recorded)


def test_no_inputs_give_no_outputs(model: ModelInstance) -> None:
    assert outputs(model, []) == []


def test_the_order_of_the_inputs_is_kept(model: ModelInstance) -> None:
    rows = golden_inputs(model)
    assert same(outputs(model, rows[::-1]), outputs(model, rows)[::-1])


def test_inputs_together_give_what_each_gives_alone(model: ModelInstance) -> None:
    rows = golden_inputs(model)
    together = outputs(model, rows * 2)
    assert same(together, [outputs(model, [row])[0] for row in rows] * 2)


def test_outputs_keep_to_the_schema(model: ModelInstance) -> None:
    names = [column.name for column in model.spec.output_columns]
    for row in outputs(model, golden_inputs(model)):
        model.spec.output.model_validate_json(json.dumps(dict(zip(names, row, strict=True))))


def test_fields_at_their_bounds_are_scored(model: ModelInstance) -> None:
    """One field after another at the shortest and the longest, the least and the most that the schema lets in."""
    rows = []
    for name, bounds in model.spec.input.model_json_schema()["properties"].items():
        rows += [golden_inputs(model)[0] | {name: value} for value in extremes(bounds)]
    accepted = [row for row in rows if model.spec.check is None or not any(checked(model, row))]
    assert len(outputs(model, accepted)) == len(accepted)


def extremes(schema: dict[str, Any]) -> list[Any]:
    kinds = [schema, *schema.get("anyOf", [])]
    found: list[Any] = [None for kind in kinds if kind.get("type") == "null"]
    found += [kind[bound] for kind in kinds for bound in ("minimum", "maximum") if bound in kind]
    for kind in kinds:
        if kind.get("type") == "string" and "enum" not in kind and kind.get("format") != "base64":
            pattern = kind.get("pattern")
            free = pattern in (None, r"^[^\x00]*$")
            sizes = {kind.get("minLength", 0), min(kind.get("maxLength", 1000), 100_000)} if free else set()
            found += [letter * size for size in sizes for letter in ("a", "語")]
    return found


def checked(model: ModelInstance, *rows: dict[str, Any]) -> list[Any]:
    assert model.spec.check is not None
    return list(model.spec.check(columns(model.spec, list(rows)), model.artifact.manifest))


def test_the_check_lets_the_golden_rows_in(model: ModelInstance) -> None:
    if model.spec.check is not None:
        shown = [row for row in golden_inputs(model) if not is_blank(row.get("text", "-"))]  # others are refused by now
        assert checked(model, *shown) == []


def test_unknown_fields_are_refused(model: ModelInstance) -> None:
    row = golden_inputs(model)[0] | {"no_such_field": 1}
    with pytest.raises(ValidationError):
        wire.validator(model.spec).validate_python([row])
    with pytest.raises(ValueError, match="no_such_field"):
        columns(model.spec, [row])


def test_what_is_predicted_together_is_within_the_bound(model: ModelInstance) -> None:
    rows = golden_inputs(model) * 20
    cut = list(batches(model.spec, columns(model.spec, rows)))
    name = model.spec.input_columns[0].name
    assert [value for batch in cut for value in batch[name]] == list(columns(model.spec, rows)[name])
    for batch in cut:
        size = sum(model.spec.input_sizes(batch)) if model.spec.input_sizes else len(batch[name])
        assert size <= model.spec.max_batch or len(batch[name]) == 1


def test_a_model_loads_twice_in_one_process(model: ModelInstance) -> None:
    again = loaded_models.load(*on_disk(model.spec.name))
    assert same(outputs(again, golden_inputs(model)), outputs(model, golden_inputs(model)))


def test_files_that_are_not_those_of_the_manifest_are_refused(model: ModelInstance, tmp_path: Path) -> None:
    for name in model.artifact.manifest["sha256"]:
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(model.artifact.path, copy)
        with (copy / name).open("ab") as file:
            file.write(b"\n")
        with pytest.raises(ArtifactTampered, match=name):
            artifact.verify(dataclasses.replace(model.artifact, path=copy))


def test_a_model_that_misses_its_golden_rows_is_refused(model: ModelInstance) -> None:
    class Wrong:
        def predict(self, columns: Columns) -> Columns:
            right = model.predictor.predict(columns)
            first = model.spec.output_columns[0]
            wrong = "wrong" if first.kind == "text" else 0.123
            return {**right, first.name: [wrong] * len(right[first.name])}

    with pytest.raises(GoldenRowsDiffer, match=f"model {model.spec.name} {model.version}, golden row 1"):
        loaded_models.check_golden_rows(dataclasses.replace(model, predictor=Wrong()))


def test_a_model_has_a_card_an_evaluation_and_examples(model: ModelInstance) -> None:
    folder = catalogue.FOLDER / model.spec.name
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# ")
    assert model.artifact.evaluation
    for kind in (model.spec.input, model.spec.output):
        for name, field in kind.model_fields.items():
            assert field.description, name
            assert field.examples, name
