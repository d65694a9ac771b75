"""Makes the views of outcomes: `<model>_outcomes`, all of these as `outcomes_resolved`, and `shown`.

Outcomes find their predictions here, when somebody reads: so one that came before its prediction is there as soon as
the prediction is, and nothing is to be kept in step. What decides between contradicting ones is the rule of the model's
version that was added last.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, text

from registry import versions
from registry.versions import NoSpec, Registry, predictions_of
from serving.contract import Spec
from serving.outcomes import OutcomeRules
from store import matching
from store.outcome_tables import draws, outcomes
from store.schema import lacking
from store.tables import ANALYST, APP

log = structlog.get_logger(__name__)

RESOLVED, SHOWN = "outcomes_resolved", "shown"


class View(NamedTuple):
    name: str
    query: str
    comment: str


def rules_of(registry: Registry, model: str) -> tuple[Spec, OutcomeRules] | None:
    """Return how a model's outcomes are reported, as its version that was added last says; None: there are none."""
    found = registry.versions_of(model)
    try:
        spec = found[-1].spec if found else None
    except (NoSpec, TypeError) as error:
        log.warning("outcomes_left_out", model=model, reason=str(error))
        return None
    return None if spec is None or spec.outcomes is None else (spec, spec.outcomes)


def renew(connection: Connection) -> None:
    """Make the views that are missing or no longer as they should be. Others stay untouched, whoever reads them."""
    if lacking(connection, outcomes) or lacking(connection, draws):
        return
    made = list(_views(connection))
    for view in made:
        digest = hashlib.sha256(view.query.encode()).hexdigest()[:12]
        comment = f"{view.comment} ({digest})"
        if connection.scalar(_COMMENT, {"name": view.name}) == comment:
            continue
        connection.execute(text(f'CREATE OR REPLACE VIEW "{view.name}" AS {view.query}'))
        for role in (ANALYST, APP):
            if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
                connection.execute(text(f'GRANT SELECT ON "{view.name}" TO {role}'))
        connection.execute(text(f"""COMMENT ON VIEW "{view.name}" IS '{comment}'"""))


def drop(connection: Connection) -> None:
    """Drop them all, so that the tables can change."""
    for name in (RESOLVED, SHOWN, *connection.scalars(_NAMES)):
        connection.execute(text(f'DROP VIEW IF EXISTS "{name}"'))


_COMMENT = text("SELECT obj_description(to_regclass(quote_ident(:name)), 'pg_class')")
_NAMES = text("""
SELECT name || '_outcomes' FROM models
WHERE EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(quote_ident(name || '_outcomes')) AND relkind = 'v')
""")


def _views(connection: Connection) -> Iterator[View]:
    registry = versions.read(connection)
    of_models = []
    for model in registry.models:
        found = rules_of(registry, model)
        if found is None or lacking(connection, predictions_of(found[0])):
            continue
        of_models.append(model)
        about = f"Predictions of {model} that have an outcome: the one that stands by the rule {found[1].rule}"
        yield View(f"{model}_outcomes", resolved(*found), about)
    if of_models:
        every = (f"""SELECT CAST('{model}' AS text) AS model, * FROM "{model}_outcomes" """ for model in of_models)
        yield View(RESOLVED, " UNION ALL ".join(every), "The predictions of all models that have an outcome")
    yield View(SHOWN, "SELECT * FROM draws WHERE shown_at IS NOT NULL", "The draws that a reviewer has seen")


_ORDERS = {
    "latest": "decided_at DESC, id DESC",
    "majority": "votes DESC, decided_at DESC, id DESC",
    "senior": "seniority, decided_at DESC, id DESC",
}


def resolved(spec: Spec, rules: OutcomeRules, place: str | None = None, among: str | None = None) -> str:
    """Return the query of the outcome that stands of each prediction that has one; the rest as `matching.matched`.

    Of each reviewer and source, the latest decision counts, and a withdrawal takes it away. The rule decides between
    those that are left.
    """
    is_target = "false" if rules.target is None else f"outcome IS NOT DISTINCT FROM {_quoted(rules.target)}"
    sources = ", ".join(map(_quoted, rules.sources))
    more = {
        "latest": "",
        "majority": ", count(*) OVER (PARTITION BY task_id, position, outcome, value) AS votes",
        "senior": f", coalesce(array_position(ARRAY[{sources}]::text[], source), {len(rules.sources) + 1})"
        " AS seniority",
    }[rules.rule]
    also = f", {place}" if place else ""
    return f"""
        SELECT DISTINCT ON (task_id, position)
            task_id, position, outcome, value, {is_target} AS is_target, decided_at, received_at, reviewer, source,
            id AS outcome_id, count(*) OVER (PARTITION BY task_id, position) AS reviews{also}
        FROM (
            SELECT *{more} FROM (
                SELECT DISTINCT ON (task_id, position, reviewer, source) *
                FROM ({matching.matched(spec.name, spec.table, matching.key_of(spec), place, among)}) AS matched
                ORDER BY task_id, position, reviewer, source, decided_at DESC, id DESC
            ) AS latest_of_each
            WHERE NOT withdrawn
        ) AS standing
        ORDER BY task_id, position, {_ORDERS[rules.rule]}
    """


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''").replace(":", r"\:") + "'"
