"""`millrace models` and `millrace train` hand on to the models' own programs."""

import subprocess
import sys
from pathlib import Path

import pytest

MILLRACE = Path(sys.executable).parent / "millrace"


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MILLRACE, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_training_takes_the_trainers_own_options_and_paths_from_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("a,label\n1,1\n")
    done = run("train", "report_scorer", "--data", "reports.csv", folder=tmp_path)
    assert done.returncode == 2
    assert "reports.csv: column abuse_type is missing" in done.stderr


@pytest.mark.parametrize("arguments", [("train", "nonsense"), ("models", "fetch", "report_scorer")])
def test_what_a_model_cannot_do_is_said_with_those_that_can(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert f"{arguments[-1]!r} is none of" in done.stderr


def test_help_is_there_on_every_floor() -> None:
    for arguments in (["models"], ["models", "fetch"], ["train"]):
        assert run(*arguments, "--help").stdout.startswith("Usage: millrace")
    assert "--label" in run("train", "report_scorer", "--help").stdout
