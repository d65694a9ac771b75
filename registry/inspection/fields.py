"""Makes a model's schema of what says what it takes: model.toml, MLflow's signature, the file itself, the sample.

The first of these that says something of a field wins, and a contradiction is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import msgspec

from registry.inspection.proposal import ModelRefused
from registry.inspection.sample import Sample, SampleColumn, check_names
from registry.inspection.source import FieldRules, Source
from runtimes.description import DescribedFeature, Description
from runtimes.tabular import MatrixColumn
from serving.contract import Kind
from serving.schema import ModelSchema, SchemaField, plain_name

EXPECTED = "expected"
"""The sample's column with what the model should give."""

ANSWERED = frozenset(
    [
        "task_id",
        "status",
        "model",
        "model_version",
        "n_inputs",
        "submitted_at",
        "started_at",
        "finished_at",
        "error",
        "errors",
        "client",
        "masked",
    ]
)
"""The words of a task's JSON, which no output may have."""

_KIND_OF: dict[str, Kind] = {
    "number": "double",
    "whole number": "double",
    "boolean": "boolean",
    "category": "text",
    "text": "text",
}
_FITS: dict[Kind, frozenset[str]] = {
    "text": frozenset({"text", "bigint"}),
    "boolean": frozenset({"boolean"}),
    "bigint": frozenset({"bigint"}),
    "double": frozenset({"double", "bigint", "boolean"}),
}
"""Kinds of a sample's column that a field of a kind takes."""

MAX_CHOICES = 10_000


@dataclass
class Proposed:
    """The schema, and how its columns become the features."""

    schema: ModelSchema
    features: list[MatrixColumn]
    classes: tuple[str, ...]
    warnings: list[str] = field(default_factory=list)


def propose(source: Source, found: Description, sample: Sample | None, key: str | None, label: str | None) -> Proposed:
    """Return the schema of a model of tables. Raises ModelRefused."""
    warnings = list(found.warnings)
    names = _feature_names(source, found, sample, {key, label, EXPECTED})
    check_names(source.file.name, names)
    outputs, classes = _outputs(source, found)
    taken = {one.column for one in outputs}
    inputs: list[SchemaField] = []
    features: list[MatrixColumn] = []
    signature = {column.name: column for column in source.signature or ()}
    for name, feature in zip(names, found.features, strict=True):
        kind = signature[name].kind if name in signature else None
        made, categories = _input(name, plain_name(name, taken), feature, found, (sample or {}).get(name), kind)
        if name in signature and signature[name].nullable:
            made = msgspec.structs.replace(made, nullable=True)
        inputs.append(ruled(made, source.toml.input.get(name)))
        features.append(MatrixColumn(made.column, categories))
        taken.add(made.column)
    key_column = None
    if key is not None and key not in names:
        inputs.append(key_field(key, plain_name(key, taken), (sample or {}).get(key)))
        key_column = inputs[-1].column
    elif key is not None:
        raise ModelRefused(f"the key {key!r} is a feature of the model; name a column that it does not read")
    if unknown := source.toml.input.keys() - {one.name for one in inputs}:
        raise ModelRefused(f"model.toml: [input] has {sorted(unknown)[0]!r}, which the model does not read")
    ignored = [name for name in sample or {} if name not in {*names, key, label, EXPECTED, *(o.name for o in outputs)}]
    if ignored:
        warnings.append(f"the model does not read these columns of the sample: {', '.join(map(repr, ignored[:10]))}")
    title = source.toml.title or source.name.replace("_", " ").capitalize()
    columns = {one.name: one.column for one in inputs}
    personal = tuple(columns[name] for name in source.toml.personal if name in columns)
    schema = ModelSchema(title, tuple(inputs), tuple(outputs), key=key_column, personal=personal)
    if source.toml.max_inputs is not None:
        schema = msgspec.structs.replace(schema, max_inputs=max(1, min(source.toml.max_inputs, 10_000)))
    return Proposed(schema, features, classes, warnings)


def _feature_names(source: Source, found: Description, sample: Sample | None, others: set[str | None]) -> list[str]:
    """Return the features' names: the file's own or, by their order, those of whoever else names them."""
    own = [feature.name for feature in found.features]
    if all(name is not None for name in own):
        signed = [column.name for column in source.signature or ()]
        known = signed or list(sample or {})
        plain = {name.replace(" ", "_"): name for name in known}  # as LightGBM writes them
        named = [name if name in known else plain.get(name, name) for name in cast("list[str]", own)]
        if signed and set(signed) != set(named):
            raise ModelRefused("MLmodel: its signature names other columns than the model reads; log the model again")
        return named
    for said in (
        list(source.toml.input),
        [column.name for column in source.signature or ()],
        [name for name in sample or {} if name not in others],
    ):
        if said:
            if len(said) != len(own):
                raise ModelRefused(
                    f"{source.file.name} reads {len(own)} features without names, and {len(said)} columns are given "
                    f"({', '.join(said[:5])} …); give it as many, in their order"
                )
            return said
    return [f"f{place}" for place in range(len(own))]


def _input(
    name: str,
    column: str,
    feature: DescribedFeature,
    found: Description,
    sampled: SampleColumn | None,
    signed: Kind | None,
) -> tuple[SchemaField, tuple[str, ...] | None]:
    """Return a feature's field, and its categories if it has any."""
    kind = signed or _KIND_OF[feature.kind]
    if feature.kind == "whole number" and sampled is not None and sampled.kind == "bigint" and signed is None:
        kind = "bigint"
    if feature.kind == "category":
        return _category(name, column, feature, sampled)
    nullable = found.takes_missing if sampled is None else sampled.nullable
    if sampled is not None and sampled.present and sampled.kind not in _FITS.get(kind, {kind}):
        if signed is None and kind == "boolean" and set(sampled.present) <= {0, 1}:
            kind = "bigint"
        else:
            raise ModelRefused(
                f"the column {name!r} is {kind} for the model and {sampled.kind} in the sample; correct one of them"
            )
    example = next(iter(sampled.present), None) if sampled is not None else None
    if example is not None and kind == "double":
        example = float(example)
    return SchemaField(name, column, kind, nullable, description=_range(sampled), example=example), None


def _range(sampled: SampleColumn | None) -> str | None:
    if sampled is None or sampled.kind not in ("bigint", "double") or not sampled.present:
        return None
    return f"in the sample {min(sampled.present):g} to {max(sampled.present):g}"


def _category(
    name: str, column: str, feature: DescribedFeature, sampled: SampleColumn | None
) -> tuple[SchemaField, tuple[str, ...]]:
    """Return a field of the categories that the file holds or, sorted as pandas sorts them, of the sample's."""
    categories = feature.categories
    seen = None if sampled is None else tuple(map(str, sorted(set(sampled.present))))
    if categories is None and not seen:
        raise ModelRefused(
            f"the feature {name!r} is categorical, and nothing says of which categories: give a --sample"
        )
    chosen = categories or seen or ()
    if seen and set(seen) - set(chosen):
        unknown = sorted(set(seen) - set(chosen))[0]
        raise ModelRefused(
            f"the sample has {unknown!r} in {name!r}, which the model does not know; correct one of them"
        )
    if len(chosen) > MAX_CHOICES:
        raise ModelRefused(f"the feature {name!r} has {len(chosen):,} categories; {MAX_CHOICES:,} are the most")
    nullable = sampled is None or sampled.nullable
    return SchemaField(name, column, "text", nullable, choices=chosen, example=chosen[0]), chosen


def key_field(name: str, column: str, sampled: SampleColumn | None) -> SchemaField:
    if name in ANSWERED:
        raise ModelRefused(
            f"the key cannot be called {name!r}, which is a word of the API's answers; rename the column"
        )
    kind: Kind = "bigint" if sampled is not None and sampled.kind == "bigint" else "text"
    example = next(iter(sampled.present), None) if sampled is not None else None
    said = "The caller's own key: stored and returned, never a feature."
    return SchemaField(
        name, column, kind, True, max_length=200 if kind == "text" else None, description=said, example=example
    )


def _outputs(source: Source, found: Description) -> tuple[list[SchemaField], tuple[str, ...]]:
    usual = {
        "binary": [SchemaField("score", "score", "double", ge=0, le=1, description="Probability of the class 1.")],
        "value": [SchemaField("value", "value", "double", description="What the model predicts.")],
        "classes": [
            SchemaField("label", "label", "text", description="The most probable class."),
            SchemaField("probability", "probability", "double", ge=0, le=1, description="Its probability."),
            SchemaField("labels", "labels", "text[]", description="All classes, the most probable first."),
            SchemaField("probabilities", "probabilities", "double[]", description="Their probabilities."),
        ],
    }[found.output]
    classes = tuple(source.toml.classes or found.classes)
    if found.output == "classes" and len(classes) != len(found.classes):
        raise ModelRefused(f"model.toml: classes names {len(classes)}, and the model has {len(found.classes)}")
    names = source.toml.outputs or [one.name for one in usual]
    if len(names) != len(usual):
        raise ModelRefused(f"model.toml: outputs names {len(names)}, and the model gives {len(usual)}")
    check_names("model.toml: outputs", names)
    if said := ANSWERED & set(names):
        raise ModelRefused(f"an output cannot be called {min(said)!r}, which is a word of the API's answers")
    taken: set[str] = set()
    made = []
    for name, one in zip(names, usual, strict=True):
        column = plain_name(name, taken)
        taken.add(column)
        made.append(ruled(msgspec.structs.replace(one, name=name, column=column), source.toml.output.get(name)))
    return made, classes


def ruled(made: SchemaField, rules: FieldRules | None) -> SchemaField:
    """Return the field as model.toml has it."""
    if rules is None:
        return made
    said: Mapping[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(rules).items() if value is not None
    }
    if "kind" in said and said["kind"] not in get_args(Kind):
        raise ModelRefused(
            f"model.toml: {made.name!r} has the kind {said['kind']!r}; there are {', '.join(get_args(Kind))}"
        )
    if "kind" in said and said["kind"] != made.kind and not _numeric(said["kind"], made.kind):
        raise ModelRefused(f"model.toml: {made.name!r} is {said['kind']}, and the model reads {made.kind}; correct one")
    if isinstance(choices := said.get("choices"), Sequence):
        said = {**said, "choices": tuple(choices)}
    return msgspec.structs.replace(made, **said)


def _numeric(*kinds: str) -> bool:
    return set(kinds) <= {"integer", "bigint", "double", "boolean"}
