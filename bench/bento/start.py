"""Installs the current release of BentoML into an environment of its own, and serves the scorer with it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from bench.connection import LoadTarget
from bench.programs import free_port, program, wait_until_ready
from bench.site import Servers, Site, StoredCounts
from devstack.local import FOLDER, ROOT

PACKAGES = ("bentoml", "xgboost-cpu==3.2.0" if sys.platform == "linux" else "xgboost==3.2.0")
READY = "/readyz"
SETTLE_SECONDS, PATIENCE_SECONDS = 2.0, 30.0
"""Its tasks run in the memory of its processes: what waits can only be waited for."""


def environment() -> Path:
    """Install BentoML if it is not there yet, and return the folder of its programs."""
    folder = FOLDER / "bench-peers"
    if not (folder / "bin" / "bentoml").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PACKAGES], check=True)
    return folder / "bin"


def version(programs: Path) -> str:
    told = subprocess.run([programs / "bentoml", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.rpartition(" ")[2].strip()


@contextmanager
def running(servers: Servers, programs: Path) -> Iterator[Site]:
    """Serve the scorer with two processes, results in a fresh SQLite file, as BentoML does by default."""
    home = servers.folder / "bentoml"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    port = free_port()
    environment = {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    log = servers.folder / "bentoml.log"
    command = [str(programs / "bentoml"), "serve", "bench.bento.service:Scorer", "--host=127.0.0.1", f"--port={port}"]
    with program(command, environment, log) as process:
        wait_until_ready(port, {"bentoml": process}, {"bentoml": log}, READY)
        url = f"http://127.0.0.1:{port}"

        def stored(size: int) -> StoredCounts:
            with closing(sqlite3.connect(home / "task_result.db", timeout=5)) as results:
                query = "SELECT count(*), max(completed_at) FROM result WHERE status = 'completed'"
                count, last = results.execute(query).fetchone()
            return count * size, datetime.fromisoformat(last).timestamp() if last else 0.0

        site = Site(
            "BentoML tasks",
            LoadTarget.of(url),
            {"bentoml": process.pid},
            stored,
            kinds={"submit": "bento-submit", "score": "bento-score"},
            settle=SETTLE_SECONDS,
            patience=PATIENCE_SECONDS,
        )
        site.warm_up()
        yield site
