"""`millrace retain`: delete predictions and tasks that are too old. In containers: `python -m cli.retain`."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import click
import structlog
from millrace_client.cli.encoding import print_anything
from sqlalchemy import Engine

from cli.database import database
from cli.exported_days import Exports, exports, why_kept
from cli.redact import Age
from cli.retention_settings import RetentionAges, RetentionSettings
from cli.sql import print_table
from registry import versions
from registry.versions import NoSpec
from store import deleted_days, models, old_days, old_findings, old_jobs, old_outcomes, row_retention
from store.limits import holding
from store.matching import key_of
from telemetry import logs
from telemetry.settings_errors import exit_on_invalid_settings

log = structlog.get_logger("retain")


@dataclass(frozen=True)
class DayReport:
    """What retention does with a day that is old enough: so many rows go, or it stays for a reason."""

    model: str
    day: date
    predictions: int
    tasks: int
    kept: str | None = None


@click.command()
@click.option("--dry-run", is_flag=True, help="Delete nothing, and print what would be deleted.")
@click.option("--every", type=Age(), help="Do it again each 24h, say, until somebody stops the command.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@exit_on_invalid_settings()
def retain(dry_run: bool, every: timedelta | None, as_json: bool) -> None:
    """Delete predictions and ended tasks that are older than PREDICTION_RETENTION_DAYS, whole days (UTC) at a time.

    Evaluations, drift and reports of the gate go after EVALUATION_RETENTION_DAYS, the newest of each excepted; so do
    bulk replays and cancels. Webhooks about models go 30 days after they were delivered or given up.
    """
    logs.configure(logs.LogSettings())
    settings = RetentionSettings()
    while True:
        with database("retain") as engine:
            reports = list(retention(engine, settings.ages, exports(engine), dry_run=dry_run))
            found = findings(engine, settings.evaluation_retention_days, dry_run=dry_run)
        _print(reports, found, dry_run=dry_run, as_json=as_json)
        if every is None:
            return
        time.sleep(every.total_seconds())


def retention(engine: Engine, ages: RetentionAges, exported: Exports | None, *, dry_run: bool) -> Iterator[DayReport]:
    """Delete what is older than its model's age, and yield what became of each day that is old enough."""
    with engine.connect() as connection:
        tables = models.tables(connection)
    if unknown := ages.by_model.keys() - tables.keys():
        known = ", ".join(sorted(tables))
        sys.exit(f"PREDICTION_RETENTION_DAYS: there is no model {min(unknown)!r}; there are {known}")
    with nullcontext(True) if dry_run else holding(engine, deleted_days.LOCK) as alone:
        if not alone:
            sys.exit("millrace retain: another program deletes predictions at present; run it again later")
        for model, table in sorted(tables.items()):
            if (days := ages.of(model)) is not None:
                yield from _of_model(engine, model, table, days, exported, dry_run=dry_run)


def findings(engine: Engine, days: int, *, dry_run: bool) -> dict[str, int]:
    """Delete what was found about models more than so many days ago, and return how many rows, by table."""
    if dry_run:
        with engine.connect() as connection:
            return old_findings.count(connection, days)
    found = old_findings.delete(engine.begin, days)
    if any(found.values()):
        log.info("findings_deleted", **found, older_than_days=days)
    return found


def _of_model(
    engine: Engine, model: str, table: str, days: int, exported: Exports | None, *, dry_run: bool
) -> Iterator[DayReport]:
    with engine.connect() as connection:
        before = old_days.first_kept(connection, days)
    found = old_days.find(engine.begin, model, table, before)
    kept = {old.day: reason for old in found if (reason := why_kept(exported, model, old))}
    going = [old for old in found if old.day not in kept]
    predictions = Counter({old.day: old.predictions for old in going})
    tasks = Counter({old.day: old.tasks for old in going})
    if going and not dry_run:
        with engine.begin() as connection:
            deleted_days.begin(connection, model, {old.day: old.predictions for old in going if old.predictions})
        predictions.clear()
        tasks.clear()
        for deleted in row_retention.delete(engine.begin, model, table, [old.day for old in going]):
            predictions.update(deleted.predictions)
            tasks.update(deleted.tasks)
        with engine.begin() as connection:
            deleted_days.end(connection, model, [old.day for old in going])
            old_jobs.delete(connection, model, before)
        log.info(
            "predictions_deleted",
            model=model,
            predictions=predictions.total(),
            tasks=tasks.total(),
            days=len(going),
            older_than_days=days,
        )
    if not dry_run:
        _delete_outcomes(engine, model, table, before, days)
    if kept and not dry_run:
        reasons = {str(day): reason for day, reason in kept.items()}
        log.warning("predictions_kept", model=model, days=len(kept), reasons=reasons)
    for old in found:
        yield DayReport(model, old.day, predictions[old.day], tasks[old.day], kept.get(old.day))


def _delete_outcomes(engine: Engine, model: str, table: str, before: date, days: int) -> None:
    """Delete old outcomes whose predictions are gone, or have never come."""
    with engine.connect() as connection:
        found = versions.read(connection).versions_of(model)
    try:
        keys = {key for one in found if (key := key_of(one.spec))}
    except NoSpec as error:
        log.warning("outcomes_kept", model=model, reason=str(error))
        return
    if deleted := old_outcomes.delete_old(engine.begin, model, table, sorted(keys), old_days.midnight(before)):
        log.info("outcomes_deleted", model=model, outcomes=deleted, older_than_days=days)


def _print(reports: list[DayReport], found: Mapping[str, int], *, dry_run: bool, as_json: bool) -> None:
    total = {name: sum(getattr(report, name) for report in reports) for name in ("predictions", "tasks")}
    if as_json:
        days = [asdict(report) | {"day": report.day.isoformat()} for report in reports]
        click.echo(json.dumps({"dry_run": dry_run, **total, "days": days, "findings": found}))
        return
    if reports:
        rows = [
            [one.model, str(one.day), one.predictions, one.tasks, one.kept and f"kept: {one.kept}"] for one in reports
        ]
        print_table(["model", "day", "predictions", "tasks", ""], rows)
    verb = "would be deleted" if dry_run else "deleted"
    if rows_by_table := [f"{table}: {rows:,}" for table, rows in found.items() if rows]:
        click.echo(f"findings {verb}: {', '.join(rows_by_table)}")
    click.echo(f"{total['predictions']:,} predictions and {total['tasks']:,} tasks {verb}")


if __name__ == "__main__":
    print_anything()
    retain()
