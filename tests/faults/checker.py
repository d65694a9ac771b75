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

from serving.catalogue import specs
from store.states import FINAL, Priority, Status
from tests.faults.expected import Expected, differs
from tests.faults.stream import Ledger, Submission

BESIDE = "beside"
"""With this begin the names of clients whose tasks only lie there; they are none of the stream's."""


@dataclass
class Verdict:
    """What the checker found; each list names the culprits."""

    accepted: int = 0
    """Tasks for which a client has seen a 202."""
    unacknowledged: int = 0
    """Tasks that were accepted although the 202 got lost on its way."""
    inputs: int = 0
    """Predictions that are right."""
    ended: Counter[str] = field(default_factory=Counter)
    """Tasks by the state in which they ended."""
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Tasks that ended, but not in SUCCESS, and nobody's wish and no input gives a reason for that."""
    unaccepted: list[str] = field(default_factory=list)
    """Predictions without a task, and tasks that nobody submitted."""
    left_over: list[str] = field(default_factory=list)
    """Inputs and leases of tasks that have ended; predictions of those that ended unscored."""
    broken: list[str] = field(default_factory=list)
    """Answers to clients that no fault excuses, and answers or callbacks that said other than what is stored."""

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
        query = text("SELECT * FROM tasks WHERE client IS NULL OR NOT starts_with(client, :beside)")
        tasks = {row.id: row for row in connection.execute(query, {"beside": BESIDE})}
        predictions = _predictions(connection)
        verdict = Verdict(accepted=len(ledger.accepted), broken=list(ledger.broken))
        verdict.left_over = _left_over(connection)
    verdict.lost = [str(task_id) for task_id in ledger.accepted if task_id not in tasks]
    verdict.unaccepted = [f"prediction of {task_id}" for task_id in predictions if task_id not in tasks]
    expected = Expected(ledger.tries)
    by_first_input = dict(ledger.by_first_input())
    tasks_of: Counter[Submission] = Counter()
    for task_id, task in tasks.items():
        stored = predictions.get(task_id, [])
        submission = ledger.accepted.get(task_id)
        if submission is None:
            verdict.unacknowledged += 1
            key = specs()[task.model].key
            submission = by_first_input.get(getattr(stored[0], str(key))) if stored else None
        verdict.ended[task.status] += 1
        if task.status not in FINAL:
            verdict.unfinished.append(f"{task_id} {task.status}")
        elif task.status != Status.SUCCESS:
            _check_unscored(verdict, ledger, task, submission, stored)
        elif submission is None:
            verdict.unaccepted.append(f"task {task_id}")
        else:
            tasks_of[submission] += 1
            _check_scored(verdict, ledger, task, submission, stored, expected)
        if submission is not None and task_id in ledger.accepted:
            _check_wishes(verdict, ledger, task, submission)
    for submission, count in tasks_of.items():
        if count > (1 if submission.key else ledger.tries[submission]):
            verdict.duplicated.append(f"{submission.input_ids[0]}: {count} tasks")
    return verdict


def _predictions(connection: Connection) -> dict[UUID, list[Any]]:
    predictions: defaultdict[UUID, list[Any]] = defaultdict(list)
    for spec in specs().values():
        for row in connection.execute(text(f"SELECT * FROM {spec.table} ORDER BY task_id, position")):
            predictions[row.task_id].append(row)
    return predictions


def _check_unscored(
    verdict: Verdict, ledger: Ledger, task: Any, submission: Submission | None, stored: Sequence[Any]
) -> None:
    """A task may end unscored by its client's wish, or by an input that cannot be scored; then it has no prediction."""
    if stored:
        verdict.left_over.append(f"{len(stored)} predictions of {task.id} {task.status}")
    excused = {
        Status.FAILURE: submission.damaged if submission else task.model == "image_classifier",
        Status.REVOKED: task.id in ledger.cancelled,
        Status.EXPIRED: task.deadline is not None and task.finished_at >= task.deadline,
    }
    if not excused[task.status]:
        verdict.failed.append(f"{task.id} {task.status}: {task.error}")
    if task.status == Status.FAILURE and task.attempt <= ledger.replayed[task.id]:
        verdict.lost.append(f"{task.id} was replayed {ledger.replayed[task.id]} times, attempted {task.attempt}")


def _check_scored(
    verdict: Verdict, ledger: Ledger, task: Any, submission: Submission, stored: Sequence[Any], expected: Expected
) -> None:
    ids, key = submission.input_ids, str(specs()[submission.model].key)
    times = Counter(getattr(row, key) for row in stored)
    verdict.lost += [f"{input_id} of {task.id}" for input_id in ids if not times[input_id]]
    verdict.duplicated += [f"{input_id} of {task.id}" for input_id, count in times.items() if count > 1]
    for row in stored:
        input_id = getattr(row, key)
        if row.position >= len(ids) or input_id != ids[row.position]:
            if times[input_id] == 1:
                verdict.wrong.append(f"{input_id} of {task.id} at position {row.position}")
        elif row.model_version != task.model_version:
            verdict.wrong.append(f"{input_id} of {task.id} by {row.model_version}, the task by {task.model_version}")
        elif fault := expected.fault(submission.model, input_id, row):
            verdict.wrong.append(f"{input_id} of {task.id}: {fault}")
        else:
            verdict.inputs += 1
    if submission.damaged:
        verdict.wrong.append(f"{task.id} was scored, but holds a damaged image")
    if ledger.cancelled.get(task.id):
        verdict.broken.append(f"{task.id} is SUCCESS; its client was told that it is REVOKED")
    if task.deadline is not None and task.started_at > task.deadline:
        verdict.broken.append(f"{task.id} was begun {task.started_at - task.deadline} after its deadline")
    if (read := ledger.read.get(task.id)) is not None:
        outputs = [column.name for column in specs()[submission.model].output_columns]
        if any(differs(read[name], [getattr(row, name) for row in stored], exactly=True) for name in outputs):
            verdict.broken.append(f"{task.id} was read with other outputs")


def _check_wishes(verdict: Verdict, ledger: Ledger, task: Any, submission: Submission) -> None:
    if task.priority != Priority[submission.priority.upper()]:
        verdict.wrong.append(f"{task.id} has priority {task.priority}, not {submission.priority}")
    told = ledger.called_back.get(str(task.id), set())
    if submission.callback is not None and task.status not in told:
        verdict.lost.append(f"callback of {task.id} {task.status}")
    if told - {task.status}:
        verdict.broken.append(f"{task.id} is {task.status}; its receiver was told {', '.join(told)}")


def _left_over(connection: Connection) -> list[str]:
    inputs = text("""
        SELECT task_id, status FROM task_inputs JOIN tasks ON id = task_id
        WHERE status NOT IN ('PENDING', 'STARTED', 'FAILURE')
    """)
    leases = text("SELECT id, status FROM tasks WHERE lease_until IS NOT NULL AND status <> 'STARTED'")
    return [f"inputs of {task_id} {status}" for task_id, status in connection.execute(inputs)] + [
        f"lease of {task_id} {status}" for task_id, status in connection.execute(leases)
    ]
