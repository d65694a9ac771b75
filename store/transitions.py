"""Every change of a task's state: the table of transitions, and the statement that makes each.

Nothing else writes `tasks.status`. To add a status, name it in states.py (in FINAL too, if its task has ended), add its
transitions here, and replace the CHECK of `tasks.status` by a migration. To add a transition, write its row in the
table, its statement below, and its line in tests/integration/test_interleavings.py.

A claim is the pair (task id, attempt), and it fences what a worker writes: where a task was taken back, claimed anew,
cancelled or ended meanwhile, the worker's statement finds no row. Times are the database's, not those of hosts' clocks.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from store.claims import Claim, ClaimedTask, WaitingTask
from store.prepared import PreparedStatement, array
from store.rescue_rounds import GRACE
from store.states import EXPIRED, FAILURE, PENDING, REVOKED, STARTED, SUCCESS, Status, Transition

UNCOUNTED = "attempt_base + 1"  # for the release before, which limits `attempt - attempt_base`; goes with the column
PUBLISHED, LEASED = {"published_at": "now()", "needs_message": "false"}, {"lease_until": "now() + :lease"}
CLEARED = dict.fromkeys(("error", "faults", "started_at", "finished_at", "model_version"), "NULL")

# By whom, from which states, to which, and what it sets beside `status`, `finished_at` and `lease_until`.
ACCEPT = Transition("handler", (), PENDING)  # the column's default, in submissions.py
CLAIM = Transition("worker", (PENDING,), STARTED, attempt="attempt + 1", started_at="now()", **LEASED)
RENEW = Transition("worker", (STARTED,), STARTED, **LEASED)
FINISH = Transition("worker", (STARTED,), SUCCESS, model_version=":version")
FAIL = Transition("worker", (STARTED,), FAILURE, model_version=":version", error=":error", faults=":faults")
GIVE_BACK = Transition("worker", (STARTED,), PENDING, needs_message="true", attempt_base=UNCOUNTED)
DEFER = Transition("worker", (STARTED,), PENDING, **PUBLISHED, attempt_base=UNCOUNTED)
FAIL_DEFERRED = Transition("worker", (STARTED,), FAILURE, error=":error")
EXCUSED = "CAST(excused AS int)"
COUNTED = {"lost_attempts": f"lost_attempts + 1 - {EXCUSED}", "attempt_base": f"attempt_base + {EXCUSED}"}
TAKE_BACK = Transition("rescue", (STARTED,), PENDING, **PUBLISHED, **COUNTED)
LOST = "'worker lost ' || lost_attempts + 1 || ' times while scoring this task'"
FAIL_LOST = Transition("rescue", (STARTED,), FAILURE, lost_attempts="lost_attempts + 1", error=LOST)
UNSERVED = "'the model ' || model || ' is no longer served here; replay the task when it is'"
FAIL_UNSERVED = Transition("rescue", (PENDING,), FAILURE, error=UNSERVED)
EXPIRE = Transition("rescue", (PENDING, STARTED), EXPIRED, error="'deadline passed before scoring'")
CANCELLER = "CASE WHEN client IS NOT DISTINCT FROM :client THEN 'its client' ELSE 'an operator' END"
CANCEL = Transition("client or operator", (PENDING, STARTED), REVOKED, error=f"'cancelled by ' || {CANCELLER}")
REPLAY = Transition(
    *("client or operator", (FAILURE,), PENDING),
    **CLEARED,
    lost_attempts="0",
    attempt_base="attempt",  # the attempt itself goes on counting, since it is the fence
    published_at="CASE WHEN :published THEN now() ELSE published_at END",
    needs_message="NOT :published",
)


# Locked in the order of the ids, never waited for: two deliveries cannot deadlock. It waits for no flush: decision 22.
_CLAIM_STATEMENT = f"""
WITH waiting AS (
    SELECT id, n_inputs FROM tasks
    WHERE id = ANY(:ids) AND {CLAIM.allowed_among("model", ":model")} AND (deadline IS NULL OR deadline > now())
    ORDER BY id FOR UPDATE SKIP LOCKED
), fitting AS (
    SELECT id, n_inputs, sum(n_inputs) OVER (ORDER BY id) AS together FROM waiting
), claimed AS (
    UPDATE tasks SET {CLAIM.sets}
    WHERE id = ANY(ARRAY(SELECT id FROM fitting WHERE together <= :max_inputs OR together = n_inputs))
    RETURNING id, attempt, n_inputs, accepted_version
)
SELECT id, attempt, n_inputs, payload, accepted_version, (SELECT set_config('synchronous_commit', 'off', true))
FROM claimed, LATERAL (SELECT payload FROM task_inputs WHERE task_id = id OFFSET 0) AS inputs ORDER BY id
"""
_CLAIM = PreparedStatement(_CLAIM_STATEMENT, ids="uuid[]", model="text", lease="interval", max_inputs="bigint")


def claim(
    connection: Connection, model: str, task_ids: Sequence[UUID], lease: timedelta, *, max_inputs: int
) -> list[ClaimedTask]:
    """Take the model's tasks that still wait and return them with their inputs. Each claim counts as an attempt.

    Of more than `max_inputs` only the first are taken, at least one. A message delivered twice claims nothing then.
    """
    rows = _CLAIM.execute(connection, ids=array(task_ids), model=model, lease=lease, max_inputs=max_inputs)
    return [
        ClaimedTask(Claim(row.id, row.attempt), row.n_inputs, bytes(row.payload), row.accepted_version) for row in rows
    ]


_CLAIMS = "unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS claims (id, attempt)"


def _if_held(transition: Transition, sets: str | None = None) -> str:
    """Return the UPDATE of a worker, for the claims that it still holds."""
    held = transition.allowed_among("id, attempt", "claims.id, claims.attempt", _CLAIMS)
    return f"UPDATE tasks SET {sets or transition.sets} WHERE id = ANY(CAST(:ids AS uuid[])) AND {held}"


def _without_inputs(update: str) -> str:
    """Have the inputs go with the state, and return the ids."""
    dropped = "DELETE FROM task_inputs WHERE task_id = ANY(ARRAY(SELECT id FROM ended))"
    return f"WITH ended AS ({update} RETURNING id), dropped AS ({dropped}) SELECT id FROM ended"


# The heartbeat waits for no task: it has locks of the chunk's others, and deadlocked with its own process's results.
_FREE = f"SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND {RENEW.allowed} FOR NO KEY UPDATE SKIP LOCKED"
_RENEW_ALL = text(_if_held(RENEW))
_RENEW = text(f"WITH free AS ({_FREE}) {_RENEW_ALL.text} AND id IN (SELECT id FROM free)")
_FINISH = PreparedStatement(_without_inputs(_if_held(FINISH)), ids="uuid[]", attempts="int[]", version="text")
_FAIL = text(f"{_if_held(FAIL)} RETURNING id")
_GIVE_BACK = text(_if_held(GIVE_BACK))
_DEFER_OR_FAIL = _if_held(DEFER, DEFER.sets_where("submitted_at > now() - :patience", FAIL_DEFERRED))
_DEFER = text(f"{_DEFER_OR_FAIL} RETURNING id, status")


def renew(connection: Connection, claims: Sequence[Claim], lease: timedelta, *, waits: bool = False) -> None:
    """Give the claims that are still held this lease; unless it `waits`, not those whose task is just being changed."""
    connection.execute(_RENEW_ALL if waits else _RENEW, _keys(claims) | {"lease": lease})


def finish(connection: Connection, claims: Sequence[Claim], version: str) -> set[UUID]:
    """Mark those still held SUCCESS, drop their inputs, and return their ids: the caller stores what these got."""
    return set(_FINISH.execute(connection, **_keys(claims), version=version).scalars())


def fail(
    connection: Connection, claims: Sequence[Claim], version: str, error: str, faults: Sequence[Mapping[str, Any]] = ()
) -> set[UUID]:
    """Mark those still held FAILURE, with a reason for a person and, for programs, faults: position, field, detail."""
    values = {"version": version, "error": error, "faults": json.dumps(faults) if faults else None}
    return set(connection.execute(_FAIL, _keys(claims) | values).scalars())


def give_back(connection: Connection, claims: Sequence[Claim]) -> None:
    """Let the tasks of the claims that are still held wait again, for rescue to publish; the attempt does not count."""
    connection.execute(_GIVE_BACK, _keys(claims))


def defer(connection: Connection, claims: Sequence[Claim], patience: timedelta, error: str) -> set[UUID]:
    """Let tasks wait for a newer release's worker, or fail if submitted so long ago; return the ids of those."""
    rows = connection.execute(_DEFER, _keys(claims) | {"patience": patience, "error": error})
    return {row.id for row in rows if row.status == FAILURE}


def _keys(claims: Sequence[Claim]) -> dict[str, Any]:
    return {"ids": array(c.task_id for c in claims), "attempts": array(c.attempt for c in claims)}


# A lease that ran out while PostgreSQL was away costs no attempt.
_TAKE_BACK = text(f"""
WITH overdue AS (
    SELECT id, coalesce(lease_until < steady, false) AS excused, lost_attempts + 1 < :attempts AS again
    FROM tasks, (SELECT max(steady_since) + :grace AS steady FROM rescue_rounds) AS rounds
    WHERE {TAKE_BACK.allowed} AND lease_until < now() AND coalesce(now() > steady, true)
    LIMIT :limit FOR UPDATE OF tasks SKIP LOCKED
)
UPDATE tasks SET {TAKE_BACK.sets_where("again OR excused", FAIL_LOST)}
FROM overdue WHERE tasks.id = overdue.id
RETURNING tasks.id, model, n_inputs, priority, client, status
""")


def take_back(connection: Connection, *, attempts: int, limit: int) -> dict[WaitingTask, Status]:
    """Take tasks from workers whose lease ran out. Return what each is now: PENDING, or FAILURE after its attempts."""
    rows = connection.execute(_TAKE_BACK, {"attempts": attempts, "limit": limit, "grace": GRACE})
    return {WaitingTask(*row[:5]): Status(row.status) for row in rows}


def _some(condition: str) -> str:
    """Return the condition that picks some of these tasks, without waiting for their locks."""
    return f"id IN (SELECT id FROM tasks WHERE {condition} LIMIT :limit FOR UPDATE SKIP LOCKED)"


_EXPIRE = text(
    _without_inputs(f"UPDATE tasks SET {EXPIRE.sets} WHERE {_some(f'{EXPIRE.allowed} AND deadline < now()')}")
)
_UNSERVED = f"{FAIL_UNSERVED.allowed} AND model = :model AND submitted_at < now() - :patience"
_FAIL_UNSERVED = text(f"UPDATE tasks SET {FAIL_UNSERVED.sets} WHERE {_some(_UNSERVED)} RETURNING id")


def expire(connection: Connection, *, limit: int) -> list[UUID]:
    """End the tasks whose deadline has passed and return their ids."""
    return list(connection.execute(_EXPIRE, {"limit": limit}).scalars())


def fail_unserved(connection: Connection, model: str, *, patience: timedelta, limit: int) -> list[UUID]:
    """End tasks of a model that is no longer served, once they have waited for `patience`, and return their ids."""
    return list(connection.execute(_FAIL_UNSERVED, {"model": model, "patience": patience, "limit": limit}).scalars())


_OWN = "id = :id AND (CAST(:client AS text) IS NULL OR client = :client)"


def cancel(connection: Connection, task_id: UUID, client: str | None, *, any_clients: bool = False) -> bool:
    """Cancel a task of a client, or for it one of `any_clients`, that has not ended. Its worker stores nothing."""
    values = {"id": task_id, "client": client, "any": any_clients}
    return bool(_cancel_all(connection, f"({_OWN} OR id = :id AND :any)", values))


def cancel_these(connection: Connection, task_ids: Sequence[UUID], client: str | None) -> set[UUID]:
    """Cancel those of these tasks, whoever's they are, that have not ended, and return their ids."""
    return _cancel_all(connection, "id = ANY(:ids)", {"ids": list(task_ids), "client": client})


def cancel_job(connection: Connection, job_id: UUID, client: str | None) -> set[UUID]:
    """Cancel the tasks of a job that have not ended, and return their ids."""
    parts = "SELECT id FROM tasks, job_parts WHERE id = task_id AND job_id = :id ORDER BY id FOR NO KEY UPDATE OF tasks"
    return _cancel_all(connection, f"id IN ({parts})", {"id": job_id, "client": client})


def _cancel_all(connection: Connection, which: str, values: Mapping[str, Any]) -> set[UUID]:
    cancel_each = _without_inputs(f"UPDATE tasks SET {CANCEL.sets} WHERE {which} AND {CANCEL.allowed}")
    return set(connection.execute(text(cancel_each), values).scalars())


# In a statement of its own: whoever waited for retention, which locks the task too, must see that its inputs are gone.
# NO KEY, because a deliverer that writes a callback twice in a transaction locks the task's key: FOR UPDATE deadlocked.
_LOCK = f"SELECT FROM tasks WHERE {{which}} AND {REPLAY.allowed} FOR NO KEY UPDATE"
_REPLAY = f"""
WITH replayed AS (
    UPDATE tasks SET {REPLAY.sets}
    WHERE {{which}} AND {REPLAY.allowed} AND EXISTS (SELECT FROM task_inputs WHERE task_id = id)
    RETURNING id, model, n_inputs, priority, client
), untold AS (
    UPDATE webhooks SET due_at = NULL, attempts = 0, delivered_at = NULL, given_up_at = NULL
    FROM replayed WHERE task_id = replayed.id
)
SELECT id, model, n_inputs, priority, client FROM replayed
"""


def replay(connection: Connection, task_id: UUID, client: str | None) -> WaitingTask | None:
    """Let a failed task wait again and return it, for the caller to publish; None when it is not a failed task."""
    return next(iter(_replay(connection, _OWN, {"id": task_id, "client": client}, published=True)), None)


def replay_these(connection: Connection, task_ids: Sequence[UUID]) -> set[UUID]:
    """Let those of these tasks that have failed wait again, for rescue to publish, and return their ids."""
    return {task.task_id for task in _replay(connection, "id = ANY(:ids)", {"ids": list(task_ids)}, published=False)}


def replay_failed(connection: Connection, *, since: datetime, model: str | None) -> set[UUID]:
    """Let the tasks that have failed since then wait again, for rescue to publish, and return their ids."""
    which = "finished_at >= :since AND (CAST(:model AS text) IS NULL OR model = :model)"
    return {task.task_id for task in _replay(connection, which, {"since": since, "model": model}, published=False)}


def _replay(connection: Connection, which: str, values: Mapping[str, Any], *, published: bool) -> list[WaitingTask]:
    connection.execute(text(_LOCK.format(which=which)), values)
    rows = connection.execute(text(_REPLAY.format(which=which)), {**values, "published": published})
    return [WaitingTask(*row) for row in rows]
