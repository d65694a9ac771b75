"""A process whose transaction hangs ends itself, and PostgreSQL lets go of what a frozen one held."""

import subprocess
import sys

from sqlalchemy import text

from store.engine import STUCK, connect

HANGS = """
import sys
from sqlalchemy import text
from store.engine import connect
from store.engine import WatchedEngine

with WatchedEngine(connect(sys.argv[1]), seconds=1).begin() as connection:
    connection.execute(text(sys.argv[2]))
print("answered", flush=True)
"""


def _run(database_url: str, statement: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", HANGS, database_url, statement]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_whose_transaction_hangs_ends_and_says_why(database_url: str) -> None:
    run = _run(database_url, "SELECT pg_sleep(50)")
    assert run.returncode == STUCK
    assert "transaction_hangs" in run.stdout + run.stderr


def test_a_process_whose_transactions_are_answered_goes_on(database_url: str) -> None:
    run = _run(database_url, "SELECT 1")
    assert (run.returncode, run.stdout) == (0, "answered\n")


def test_a_session_may_not_idle_in_a_transaction_for_long(database_url: str) -> None:
    with connect(database_url).connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "30s"
