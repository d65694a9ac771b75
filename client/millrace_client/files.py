"""Scores a file as a job: reads it in parts, sends several at once, waits, and writes the results in its order."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count as count_from
from threading import Event
from typing import Any

import httpx2

from millrace_client import formats, operations, reading, writing
from millrace_client.client import Client
from millrace_client.errors import ApiError, DeadlineExceeded, InvalidInput, MillraceError
from millrace_client.exchange import RETRIED, Deadline
from millrace_client.file_options import FileOptions, JobFailed, Progress
from millrace_client.models import Job
from millrace_client.parts import CannotRead, Columns, FilePart
from millrace_client.resuming import Run

IN_FLIGHT = 4
"""Parts that are sent at once: with them, reading, validating and storing overlap."""

LOOK = 0.5
"""Seconds between two looks at a job."""

DOWNLOADS = 5
"""How often results are read anew where the connection breaks."""


Watch = Callable[[Progress], None]


def score_file(
    client: Client,
    path: Any,
    out: Any,
    *,
    progress: Watch | None = None,
    options: FileOptions | None = None,
    **more: Any,
) -> Job:
    """Score a file, write its rows beside their outputs to `out`, and return the job.

    Formats are told by the names: .csv, .tsv, .ndjson, .json, .parquet, .arrow, each with .gz or .zst behind it; both
    may be URLs of fsspec. `more` are fields of FileOptions; `columns` may be a
    mapping from the file's columns to the model's fields. Raises MillraceError.
    """
    asked = _asked(options, more)
    run, deadline = run_of(client, os.fspath(path), asked), Deadline(asked.timeout)
    job = submit_file(client, path, progress=progress, options=asked, run=run, deadline=deadline)
    ended = finish(client, job, str(out), progress=progress, options=asked, deadline=deadline)
    run.forget()
    return ended


def submit_file(
    client: Client,
    path: Any,
    *,
    progress: Watch | None = None,
    options: FileOptions | None = None,
    run: Run | None = None,
    deadline: Deadline | None = None,
    **more: Any,
) -> Job:
    """Send a file as a job, and return when all of it is stored.

    What is stored stays, and a `run` can go on, unless the file itself is at fault. Raises MillraceError.
    """
    asked = _asked(options, more)
    name, watch, deadline = os.fspath(path), progress or _ignore, deadline or Deadline(asked.timeout)
    run = run or run_of(client, name, asked)
    form = formats.format_of(name, asked.input_format)
    limit = client.model(asked.model).max_inputs or 1
    with formats.opened(name, form) as file:
        key, batch = run.begin(min(asked.batch or limit, limit), resume=asked.resume)
        on_invalid = "stop" if asked.on_invalid == "stop" else "collect"
        wanted = {"model": asked.model, "priority": asked.priority, "on_invalid": on_invalid}
        if asked.callback_url is not None:
            wanted["callback_url"] = asked.callback_url
        job = client.run(operations.make_job(wanted, key, client.deadline()))
        found = reading.parts(file, form, asked.columns, max_rows=batch, encoding=asked.encoding)
        try:
            count, rows = _send(client, job.job_id, found, deadline, lambda read, bad: watch(Progress(read, 0, bad)))
            if not count:
                raise CannotRead("the file has no rows")
        except (InvalidInput, CannotRead):
            with suppress(MillraceError):
                client.cancel_job(job.job_id)
            run.forget()
            raise
    closed = client.run(operations.close_job(job.job_id, count, client.deadline()))
    watch(Progress(rows, closed.rows["scored"], closed.rows["rejected"], 1.0, sent=True))
    return closed


def _send(
    client: Client, job_id: str, found: Iterator[FilePart], deadline: Deadline, watch: Callable[[int, int], None]
) -> tuple[int, int]:
    """Send the parts, several at once, and return how many there are, and how many rows."""
    count = rows = rejected = 0
    sending: deque[tuple[int, Future[tuple[int, int]]]] = deque()
    stopped = Event()

    def settle() -> None:
        nonlocal rejected
        meant, one = sending.popleft()
        stored, bad = one.result()
        if stored != meant:
            raise CannotRead(f"the server reads {stored} rows where the file has {meant} lines: write line ends as \\n")
        rejected += bad

    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="send") as pool:
        try:
            for part in found:
                if deadline.left <= 0:
                    raise DeadlineExceeded(f"{rows} rows of job {job_id} are sent after {deadline.seconds:g} s")
                headers = {"Content-Type": part.content_type}
                step = operations.send_part(job_id, count, rows + 1, part.body, headers, Deadline(deadline.left))
                sending.append((part.n_rows, pool.submit(client.run, step, stopped)))
                count, rows = count + 1, rows + part.n_rows
                while len(sending) >= IN_FLIGHT:
                    settle()
                watch(rows, rejected)
            while sending:
                settle()
            watch(rows, rejected)
        except BaseException:
            stopped.set()
            for _, one in sending:
                one.cancel()
            raise
    return count, rows


def finish(
    client: Client,
    job: Job,
    out: str,
    *,
    progress: Watch | None = None,
    options: FileOptions | None = None,
    deadline: Deadline | None = None,
) -> Job:
    """Wait until a job has ended and write its results. Raises DeadlineExceeded, JobFailed."""
    asked, watch = options or FileOptions(), progress or _ignore
    deadline = deadline or Deadline(asked.timeout)
    form = formats.format_of(out, asked.output_format)
    ended = wait(client, job.job_id, watch, deadline)
    params = {"details": asked.details, "inputs": not asked.outputs_only, "numbers": asked.details}
    flags = {name: "true" if value else "false" for name, value in params.items()}
    path = f"/jobs/{job.job_id}/results"
    accepted = writing.ACCEPTED[form.name]
    _download(deadline, lambda: writing.write(client.stream(path, accepted, flags), out, form), again=out != "-")
    write_rejects(client, job, asked, deadline)
    require_scored(ended)
    return ended


def write_rejects(client: Client, job: Job, asked: FileOptions, deadline: Deadline) -> None:
    """Write the rejected rows where that is asked for, if only the line of names."""
    if (file := asked.rejects) is not None:
        path, form = f"/jobs/{job.job_id}/rejects", formats.format_of(file)
        _download(deadline, lambda: writing.write_rejects(client.stream(path, "application/x-ndjson"), file, form))


def require_scored(job: Job) -> None:
    """Raise JobFailed if rows that are valid were not scored."""
    if job.rows["failed"]:
        raise JobFailed(job)


def _download(deadline: Deadline, read: Callable[[], object], *, again: bool = True) -> None:
    """Read a stream, and read it anew where it breaks off or the server is busy."""
    for attempt in count_from(1):
        try:
            read()
            return
        except httpx2.TransportError as error:
            reason: Exception = error
        except ApiError as error:
            if error.status not in RETRIED:
                raise
            reason = error
        if not again or attempt == DOWNLOADS or deadline.left < attempt:
            raise MillraceError(f"the results could not be read: {reason}")
        time.sleep(attempt)


def wait(client: Client, job_id: str, watch: Watch, deadline: Deadline) -> Job:
    """Return a job when it has ended. Raises DeadlineExceeded."""
    while True:
        job = client.run(operations.read_job(job_id, Deadline(max(client.timeout, 60))))
        watch(Progress(job.rows["received"], job.rows["scored"], job.rows["rejected"], 1.0, sent=True))
        if job.ended:
            return job
        if deadline.left <= 0:
            raise DeadlineExceeded(f"job {job_id} is {job.status} after {deadline.seconds:g} s; it goes on")
        time.sleep(LOOK)


def run_of(client: Client, name: str, asked: FileOptions) -> Run:
    """Return the run of a file with these options, which can be resumed until it is forgotten."""
    columns = [dict(asked.columns.renamed), asked.columns.kept is not None]
    told = [client.url, asked.model, asked.batch, asked.on_invalid, asked.input_format, asked.encoding, columns]
    return Run(name, told)


def _asked(options: FileOptions | None, more: Mapping[str, Any]) -> FileOptions:
    given = dict(more)
    if isinstance(given.get("columns"), Mapping):
        given["columns"] = Columns(given["columns"])
    return replace(options or FileOptions(), **given)


def _ignore(progress: Progress) -> None: ...
