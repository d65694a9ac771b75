"""Reads Postgres when all is over and says what became of everything that the clients submitted.

An accepted submission whose 202 got lost on the wire is scored like any other; its client tries again. With an
idempotency key that must end in one task. Without one it may end in as many tasks as there were tries; those whose
202 no client saw are counted as unacknowledged, not as errors.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from models import artifact
from models.report_scorer.model import load
from store.states import FINAL, Status
from tests.faults.stream import Ledger, Submission, report_of

FEATURES = ("abuse_type", "report_text_len", "profile_rating", "popularity", "lifetime_matches_created")
TOLERANCE = 1.5e-6  # scores are rounded to six decimals


@dataclass
class Verdict:
    """What the checker found; each list names the culprits."""

    accepted: int = 0
    """Tasks for which a client has seen a 202."""
    unacknowledged: int = 0
    """Tasks that were accepted although the 202 got lost on its way."""
    inputs: int = 0
    """Predictions that are right."""
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Tasks that ended, but not in SUCCESS: no input of the stream gives a reason for that."""
    unaccepted: list[str] = field(default_factory=list)
    """Predictions without a task, and tasks that nobody submitted."""
    left_over: list[str] = field(default_factory=list)
    """Inputs and leases of tasks that have ended."""
    broken: list[str] = field(default_factory=list)
    """Answers to clients that no fault excuses, and scores that were read but are not what is stored."""

    @property
    def errors(self) -> dict[str, list[str]]:
        """What is wrong, by kind; empty when every promise was kept."""
        lists = {name: value for name, value in vars(self).items() if isinstance(value, list)}
        return {name: value for name, value in lists.items() if value}

    def __str__(self) -> str:
        said = [f"accepted {self.accepted}", f"unacknowledged {self.unacknowledged}", f"inputs scored {self.inputs}"]
        said += [f"{name} {len(value)}" for name, value in vars(self).items() if isinstance(value, list)]
        said += [f"{name}: {', '.join(value[:5])}" for name, value in self.errors.items()]
        return "\n".join(said)


def check(engine: Engine, ledger: Ledger) -> Verdict:
    """Compare what is stored with what the ledger says was submitted."""
    with engine.connect() as connection:
        tasks = {row.id: row for row in connection.execute(text("SELECT * FROM tasks"))}
        predictions: defaultdict[UUID, list[Any]] = defaultdict(list)
        for row in connection.execute(text("SELECT * FROM report_scores ORDER BY task_id, position")):
            predictions[row.task_id].append(row)
        verdict = Verdict(accepted=len(ledger.accepted), broken=list(ledger.broken))
        verdict.left_over = _left_over(connection)
    verdict.lost = [str(task_id) for task_id in ledger.accepted if task_id not in tasks]
    verdict.unaccepted = [f"prediction of {task_id}" for task_id in predictions if task_id not in tasks]
    scores = _scores(ledger)
    by_first_input = dict(ledger.by_first_input())
    tasks_of: Counter[Submission] = Counter()
    for task_id, task in tasks.items():
        stored = predictions.get(task_id, [])
        submission = ledger.accepted.get(task_id)
        if submission is None:
            verdict.unacknowledged += 1
            submission = by_first_input.get(stored[0].report_id) if stored else None
        if task.status not in FINAL:
            verdict.unfinished.append(f"{task_id} {task.status}")
        elif task.status != Status.SUCCESS:
            verdict.failed.append(f"{task_id} {task.status}: {task.error}")
        elif submission is None:
            verdict.unaccepted.append(f"task {task_id}")
        else:
            tasks_of[submission] += 1
            _check_task(verdict, task_id, submission, stored, scores)
            if task_id in ledger.read and [row.score for row in stored] != ledger.read[task_id]:
                verdict.broken.append(f"{task_id} was read with other scores")
    for submission, count in tasks_of.items():
        if count > (1 if submission.key else ledger.tries[submission]):
            verdict.duplicated.append(f"{submission.report_ids[0]}: {count} tasks")
    return verdict


def _check_task(
    verdict: Verdict, task_id: UUID, submission: Submission, stored: Sequence[Any], scores: dict[str, float]
) -> None:
    expected = submission.report_ids
    times = Counter(row.report_id for row in stored)
    verdict.lost += [f"{report_id} of {task_id}" for report_id in expected if not times[report_id]]
    verdict.duplicated += [f"{report_id} of {task_id}" for report_id, count in times.items() if count > 1]
    for row in stored:
        if row.position >= len(expected) or row.report_id != expected[row.position]:
            if times[row.report_id] == 1:
                verdict.wrong.append(f"{row.report_id} of {task_id} at position {row.position}")
            continue
        features = report_of(row.report_id)
        right = all(getattr(row, name) == features[name] for name in FEATURES)
        if right and abs(row.score - scores[row.report_id]) < TOLERANCE:
            verdict.inputs += 1
        else:
            verdict.wrong.append(f"{row.report_id} of {task_id}: {row.score}, not {scores[row.report_id]}")


def _scores(ledger: Ledger) -> dict[str, float]:
    """Recompute the score of everything that was ever tried, with the model itself."""
    reports = [report for submission in ledger.tries for report in submission.reports]
    if not reports:
        return {}
    model = load(artifact.current("report_scorer").path)
    scores = model.predict({name: [report[name] for report in reports] for name in FEATURES})["score"]
    return dict(zip((str(report["report_id"]) for report in reports), scores.tolist(), strict=True))


def _left_over(connection: Connection) -> list[str]:
    inputs = text("""
        SELECT task_id, status FROM task_inputs JOIN tasks ON id = task_id
        WHERE status NOT IN ('PENDING', 'STARTED', 'FAILURE')
    """)
    leases = text("SELECT id, status FROM tasks WHERE lease_until IS NOT NULL AND status <> 'STARTED'")
    return [f"inputs of {task_id} {status}" for task_id, status in connection.execute(inputs)] + [
        f"lease of {task_id} {status}" for task_id, status in connection.execute(leases)
    ]
