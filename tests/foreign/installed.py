"""Runs the programs that `make test-foreign` installs: Python's and Node's, each in an environment of its own."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.running import ROOT

HERE = Path(__file__).parent
PYTHON, NODE = ROOT / ".venv-foreign" / "bin", HERE / "node_modules" / ".bin"


def run(program: str, *arguments: str | Path, folder: Path = HERE, given: str = "", **environment: str) -> str:
    """Return what the program printed, and fail with it when the program fails; skip where it is not installed."""
    found = next((place / program for place in (PYTHON, NODE) if (place / program).exists()), None)
    if found is None:
        pytest.skip(f"{program} is not installed: make test-foreign")
    done = subprocess.run(
        [found, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join([str(PYTHON), os.environ["PATH"]]), **environment},
        input=given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{program} {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
    return done.stdout
