"""`pip install ./pool`, as the README says: the library alone, beside nothing else of this repository."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.running import ROOT

USE = """
import ml_pool, pool
from operator import add
if __name__ == "__main__":
    with ml_pool.MLPool(models_to_load={"one": int}, nb_workers=1) as made:
        print(made.get_result(made.create_job(add, "one", args=[2])), pool.__file__)
"""


def test_the_library_installs_and_runs_alone(tmp_path: Path) -> None:
    source, target, program = tmp_path / "source", tmp_path / "installed", tmp_path / "use.py"
    shutil.copytree(ROOT / "pool", source, ignore=shutil.ignore_patterns("__pycache__"))
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        f"--target={target}",
    ]
    subprocess.run([sys.executable, *install, source], check=True)
    program.write_text(USE)
    command = [sys.executable, "-P", "-s", program]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(target)}, capture_output=True, text=True)
    assert done.stdout.split() == ["2", str(target / "pool" / "__init__.py")], done.stderr
