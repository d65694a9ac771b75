"""Judges a version on the outcomes of the inputs that the live one has scored; both have to have scored them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from cli.evaluate import groups, population
from cli.evaluate.groups import UnknownGrouping
from cli.evaluate.population import EvaluationAsked, Population
from cli.rescoring import loading, scoring
from cli.rescoring.comparison import LIVE, NEW, label_of, score_of
from cli.rescoring.scoring import Chosen
from evaluation.artefact import as_json
from evaluation.draws import Propensity
from evaluation.gate import GateReport, judge
from evaluation.label_gate import judge_labels
from evaluation.linear import Flags
from evaluation.verdict import GateVerdict
from evaluation.weighting import weigh
from registry.gate import contenders, in_order
from registry.outcome_views import rules_of
from registry.versions import ModelVersion, Registry
from store import version_scores

MARGIN = 0.015
"""Of the area under the ROC curve; of a classifier with many labels, of accuracy and of macro F1."""


@dataclass(frozen=True)
class GateQuestion:
    """May `new` take the place of `live`? On outcomes of predictions since a time, of any kind but those left out."""

    live: ModelVersion
    new: ModelVersion
    asked: EvaluationAsked
    margin: float = MARGIN
    excepted: tuple[str, ...] = ()
    """Slices in which it may be worse, as COLUMN=VALUE."""


@dataclass(frozen=True)
class GateAnswer:
    verdict: GateVerdict
    reasons: list[str]
    failed: int
    """Inputs that the new version could not score."""
    report: GateReport | None
    """None: no outcome is about an input that both have scored."""
    further: list[GateReport]
    """Of a classifier with many labels, `report` is of accuracy, and this of macro F1."""
    excepted: list[str]
    """Slices in which it was allowed to be worse, as COLUMN=VALUE, in their order."""


def question(
    registry: Registry,
    model: str,
    version: str | None,
    margin: float,
    since: datetime | None,
    without: tuple[str, ...],
    excepted: Sequence[str] = (),
) -> GateQuestion | None:
    """Return what to ask of a model's version; None: the gate has no say. Raises NotEvaluable."""
    found = contenders(registry, model, version)
    rules = rules_of(registry, model)
    if found is None or rules is None:
        return None
    asked = EvaluationAsked(*rules, since, without)
    asked.require_figures()
    return GateQuestion(*found, asked, margin, in_order(excepted))


def score_decided(engine: Engine, registry: Registry, one: ModelVersion, asked: EvaluationAsked) -> int:
    """Have the version score what has an outcome, unless it has; return how many it had not. Raises NotLoadable."""
    decided = Chosen(
        f"""(p.task_id, p.position) IN (SELECT task_id, position FROM "{asked.spec.name}_outcomes")
            AND p.model_version <> :own AND p.scored_at >= coalesce(CAST(:since AS timestamptz), '-infinity')""",
        {"own": one.version, "since": asked.since},
        scoring.taken_by(registry, one),
        most=False,
    )
    with engine.connect() as connection:
        waiting = scoring.waiting(connection, one.spec, one.version, decided)
        if not waiting:
            return 0
        loaded = loading.load(connection, one)
    for _ in scoring.rescore(engine, loaded, decided, rest=0):
        pass
    return waiting


def answer(connection: Connection, asked: GateQuestion) -> GateAnswer:
    """Judge by what both versions have scored. Everything is read in the connection's transaction.

    Raises UnknownGrouping for an exception that is no slice of the predictions.
    """
    spec = asked.asked.spec
    slices = groups.groupings(spec, [f"{groups.SLICE}:{name}" for name in asked.asked.rules.slices])
    said_by = label_of if asked.asked.labels else score_of
    beside = {LIVE: said_by(asked.live.spec, "%(live)s"), NEW: said_by(asked.new.spec, "%(new)s")}
    values = {"live": asked.live.version, "new": asked.new.version}
    columns = {one.name: one.expression for one in slices if one.expression}
    read, table = population.read_beside(connection, asked.asked, columns, beside, values)
    live, new = (table[name].to_numpy() for name in (LIVE, NEW))
    said = (table[name].is_valid().to_numpy() for name in (LIVE, NEW))
    told = read.decided & read.within & np.logical_and(*said)
    parts = [(one, *part) for one in slices for part in one.groups(read)]
    inside = {f"{one.name} {name}": rows for one, name, rows in parts if rows.any()}
    named = {f"{one.name.partition(':')[2]}={name}": f"{one.name} {name}" for one, name, rows in parts if rows.any()}
    excepted = _excepted(named, asked.excepted)
    failed = version_scores.failures(connection, (asked.new.model, asked.new.version), decided=True)
    reports = _judge(asked, read, told, (live, new), inside, excepted)
    reasons = [f"{one.metric}: {reason}" for one in reports for reason in one.reasons]
    if len(reports) == 1:
        reasons = reports[0].reasons
    verdict = worst([one.verdict for one in reports])
    if failed:
        verdict, reasons = GateVerdict.FAIL, [f"it could not score {failed:,} stored inputs", *reasons]
    reasons = reasons if reports else [*reasons, "no outcome is about an input that both versions have scored"]
    return GateAnswer(verdict, reasons, failed, reports[0] if reports else None, reports[1:], list(asked.excepted))


def _excepted(named: Mapping[str, str], excepted: Sequence[str]) -> list[str]:
    """Return the slices that are meant, of those that there are by COLUMN=VALUE."""
    for word in excepted:
        if word not in named:
            raise UnknownGrouping(
                f"--except: {word!r} is no slice; {'there are ' + ', '.join(named) if named else NONE}"
            )
    return [named[word] for word in excepted]


NONE = "the model's [outcomes] declare none, or there is no prediction"


def worst(verdicts: Sequence[GateVerdict]) -> GateVerdict:
    """Return fail where any fails, pass where there are some and all pass, and else too few to say."""
    if GateVerdict.FAIL in verdicts:
        return GateVerdict.FAIL
    return GateVerdict.PASS if set(verdicts) == {GateVerdict.PASS} else GateVerdict.TOO_FEW


def _judge(
    asked: GateQuestion,
    read: Population,
    told: Flags,
    said: tuple[NDArray[Any], NDArray[Any]],
    slices: dict[str, Flags],
    excepted: Sequence[str],
) -> list[GateReport]:
    """Weigh the rows by the log of draws, where reviewers drew them: they stand for all predictions of the time."""
    rows, weighting = np.flatnonzero(told), None
    if read.propensities is not None and read.drawn[read.within].any():
        within = np.flatnonzero(read.within)
        known = Propensity(read.propensities.chance[within], read.propensities.certain[within])
        found = weigh(known, (read.represents & told)[within])
        if len(found.rows):
            rows, weighting = within[found.rows], found
    if not len(rows):
        return []
    parts = {name: inside[rows] for name, inside in slices.items()}
    live, new = (column[rows] for column in said)
    terms: dict[str, Any] = {"margin": asked.margin, "weighting": weighting, "slices": parts, "excepted": excepted}
    if asked.asked.labels:
        truth = read.outcome.texts(rows)
        return list(judge_labels(truth, live, new, **terms).values())
    return [judge(read.is_target[rows], live.astype(np.float64), new.astype(np.float64), **terms)]


def ask(engine: Engine, registry: Registry, asked: GateQuestion) -> GateAnswer:
    """Score what is needed, judge, and keep the report if the question is the usual one, which `promote` asks.

    Raises NotLoadable, NotComparable, UnknownGrouping, ModelAway.
    """
    for one in (asked.live, asked.new):
        score_decided(engine, registry, one, asked.asked)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        found = answer(connection, asked)
    if (asked.margin, asked.asked.since, asked.asked.without) != (MARGIN, None, ()):
        return found
    with engine.begin() as connection:
        version = (asked.new.model, asked.new.version)
        version_scores.add_gate_report(connection, version, asked.live.version, found.verdict, as_json(found))
    return found
