"""Ends jobs: sends parts again without the rows that a model refused, and notes which jobs are over.

Those that replay or cancel the tasks of a filter it does, some tasks in each transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import Connection
from uuid_utils.compat import uuid7

from rescue.steps import Steps
from serving import wire
from store import bulk_jobs, job_ends
from store.claims import WaitingTask
from store.job_ends import FailedPart
from store.states import Priority
from store.submissions import Submission

log = structlog.get_logger(__name__)

PARTS = 4
"""Parts that are sent again in one transaction: each may be as large as a body."""

TURNS = 25
"""How often in one round."""

ABANDONED = timedelta(days=7)
"""How long a job may stay open. Its parts that are stored are scored all the same."""


BULK_JOBS = 100
"""Jobs that one round does some of, the oldest. The others wait, as a client may make many."""


class Jobs:
    def __init__(
        self,
        steps: Steps,
        publish: Callable[[list[WaitingTask]], None],
        announce: Callable[[Collection[UUID]], None],
    ) -> None:
        self._steps = steps
        self._publish = publish
        self._announce = announce
        self._unsendable: set[UUID] = set()
        """Tasks of parts that could not be sent again, so that they hold up no other."""

    def turn(self) -> None:
        """Do what is due."""
        for unfinished in self._steps.do("bulk_jobs", _bulk_jobs):
            for job_id in unfinished:
                self._advance(job_id)
            break
        for ended in self._steps.do("finish_jobs", lambda connection, rows: job_ends.finish(connection, limit=rows)):
            for job_id in ended:
                log.info("job_finished", job_id=str(job_id))
        for abandoned in self._steps.do("abandon_jobs", _abandon):
            for job_id in abandoned:
                log.warning("job_abandoned", job_id=str(job_id), after=str(ABANDONED))
        for _ in range(TURNS):
            sent = [part for found in self._steps.do("send_parts_again", self._send_again) for part in found]
            self._publish([task for task in sent if task is not None])
            if not sent:
                break

    def _advance(self, job_id: UUID) -> None:
        """Replay or cancel some of a job's tasks, and wake those who wait for them."""

        def step(connection: Connection, rows: int) -> dict[UUID, bool]:
            return bulk_jobs.advance(connection, job_id, limit=rows)

        for looked_at in self._steps.do("advance_bulk_job", step):
            changed = [task_id for task_id, is_changed in looked_at.items() if is_changed]
            log.info("bulk_job_advanced", job_id=str(job_id), changed=len(changed), looked_at=len(looked_at))
            self._announce(changed)

    def _send_again(self, connection: Connection, rows: int) -> list[WaitingTask | None]:
        sent: list[WaitingTask | None] = []
        for part in job_ends.failed_parts(connection, limit=min(rows, PARTS), but=self._unsendable):
            try:
                with connection.begin_nested():
                    sent.append(_sent(connection, part))
            except (ValueError, LookupError, wire.UnknownFormat) as error:
                self._unsendable.add(part.task_id)
                log.error("part_not_sent_again", job_id=str(part.job_id), part=part.part, error=str(error))
        return sent


def _bulk_jobs(connection: Connection, rows: int) -> list[UUID]:
    return bulk_jobs.unfinished(connection, limit=min(rows, BULK_JOBS))


def _abandon(connection: Connection, rows: int) -> list[UUID]:
    return job_ends.abandon(connection, older_than=ABANDONED, limit=rows)


def _sent(connection: Connection, part: FailedPart) -> WaitingTask | None:
    gone = set(part.rejected)
    kept = [place for place in range(part.n_rows) if place not in gone]
    errors: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    for fault in part.faults:
        errors[kept[int(str(fault["position"]))]].append(
            {"pointer": f"#/{fault['field']}", "detail": str(fault["detail"])}
        )
    inputs = [row for place, row in zip(kept, wire.inputs(part.payload), strict=True) if place not in errors]
    submission = None
    if inputs:
        submission = Submission(
            uuid7(),
            part.model,
            msgspec.json.encode(inputs),
            len(inputs),
            accepted_version=part.accepted_version,
            priority=Priority(part.priority),
            client=part.client,
        )
    log.info("part_sent_again", job_id=str(part.job_id), part=part.part, rejected=len(errors))
    return job_ends.send_again(connection, part, errors, submission)
