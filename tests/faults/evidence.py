"""What explains a run that failed: the logs of its programs and servers, and what Postgres holds at that moment."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.faults.site import Site
from tests.processes import descendants, living

QUESTIONS = {
    "unfinished": "SELECT * FROM tasks WHERE status IN ('PENDING', 'STARTED') ORDER BY id",
    "workers": "SELECT * FROM workers",
    "sessions": "SELECT *, pg_blocking_pids(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    "webhooks": "SELECT * FROM webhooks WHERE delivered_at IS NULL",
}


def keep(site: Site, to: Path) -> None:
    """Put everything into this folder, in place of what an earlier run has left there."""
    shutil.rmtree(to, ignore_errors=True)
    keep_logs(site.folder, to)
    state: dict[str, object] = {"processes": _processes(site)}
    for name, question in QUESTIONS.items():
        try:
            with site.engine.connect() as connection:
                state[name] = [dict(row) for row in connection.execute(text(question)).mappings()]
        except DBAPIError as error:
            state[name] = str(error)
    (to / "state.json").write_text(json.dumps(state, indent=1, default=str) + "\n", encoding="utf-8")


def keep_logs(folder: Path, to: Path) -> None:
    """Copy the logs of everything that runs in this folder, those of servers by the names of their own folders."""
    to.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, to)
    for log in folder.glob("*/log"):
        shutil.copy(log, to / f"{log.parent.name}.log")


def _processes(site: Site) -> dict[str, list[str]]:
    """Return the process of each program and its children, each with its state."""
    found: dict[str, list[str]] = {}
    for name, program in site.programs.items():
        with suppress(psutil.NoSuchProcess):
            family = (psutil.Process(program.pid), *descendants(program.pid))
            found[name] = [f"{one.pid} {one.status()}" for one in living(family)]
    return found
