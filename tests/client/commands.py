"""Runs `millrace` as a person does, with the client alone: no command of the platform is plugged in."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.running import ROOT


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    """Return an environment in which the client finds nothing of ours but this address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    places = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home / "config")}
    return {**kept, **places, "PYTHONPATH": str(ROOT / "client"), "MILLRACE_URL": url, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "millrace_client.cli.main", *arguments]


def millrace(
    *arguments: str, environment: Mapping[str, str], given: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), env=environment, input=given, capture_output=True, timeout=120)
