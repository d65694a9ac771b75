"""Runs the commands of `millrace` that need the platform's database: what the demo shows, a person could type."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from millrace_client.cli.encoding import for_programs
from millrace_client.errors import MillraceError

from demo.world import MODEL
from devstack import local

TRAINING = ("sklearn", "polars")
"""What training needs beside what `make up` installs."""


class CommandFailed(MillraceError):
    """A command that the demo ran has failed."""


def has_database(url: str) -> bool:
    """Return whether the commands of this machine look into the database of the server at this URL."""
    given = os.environ.get("MIGRATIONS_DATABASE_URL") or os.environ.get("DATABASE_URL")
    return bool(given) or local.handler_url() == url


def can_train() -> bool:
    return all(importlib.util.find_spec(name) for name in TRAINING)


def train() -> str:
    """Train the model on what the reviewers decided, add that version as a candidate, and return its name."""
    with TemporaryDirectory() as folder:
        millrace("train", MODEL, "--from-outcomes", "--out", folder)
        return (Path(folder) / "CURRENT").read_text(encoding="utf-8").strip()


def millrace(*words: str) -> str:
    """Run a command and return what it prints. Raises CommandFailed."""
    command = [sys.executable, "-m", "millrace_client.cli.main", *words]
    done = subprocess.run(command, env={**os.environ, **for_programs()}, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise CommandFailed(f"`millrace {' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
