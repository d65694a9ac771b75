"""`pip install .` says how Millrace is run, in place of installing something that does not run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT


@pytest.mark.parametrize("hook", ["build_wheel", "build_sdist"])
def test_a_copy_is_refused_with_what_to_do_instead(hook: str, tmp_path: Path) -> None:
    build = f"import build_backend; build_backend.{hook}({str(tmp_path)!r})"
    environment = {"PYTHONPATH": str(ROOT / "requirements")}
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run `make up`" in done.stderr
    assert not list(tmp_path.iterdir())
