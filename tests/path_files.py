"""`python -m tests.path_files`: which files of ours one `POST /predict` crosses, by program. Start-up is not counted.

Requests go one after another through a real handler and a real worker, whose calls are noted (calls/sitecustomize.py).
A file is crossed if its functions are called at least once a request more often than in an idle time as long.
"""

import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from devstack.embedded import start_postgres, start_valkey
from migrations.revisions import upgrade
from tests.processes import descendants
from tests.running import REPORT, ROOT, Platform, temporary_open_folder

REQUESTS = 40

BESIDE = ("models", "telemetry")
"""Listed, but not counted: the example model, which a user replaces by his own, and what writes logs and traces."""

Crossed = dict[str, list[str]]
"""Program → the files that a request crosses in it."""


def measure(database_url: str, redis_url: str, folder: Path) -> Crossed:
    """Send requests to a platform of its own and return what they cross."""
    noted = folder / "calls"
    settings = {"PYTHONPATH": f"{Path(__file__).parent / 'calls'}", "CALLS": str(noted), "CALLS_ROOT": str(ROOT)}
    with Platform(database_url, redis_url, folder, **settings) as platform:
        for _ in range(5):
            _predict(platform)
        begin = time.monotonic()
        for _ in range(REQUESTS):
            _predict(platform)
        time.sleep(0.2)  # what goes on after the answer: the acknowledgement, an access log
        end = time.monotonic()
        time.sleep(end - begin)
        programs = {
            platform.handler.pid: "handler",
            platform.worker.pid: "worker, main process",
            **{child.pid: "worker, scoring process" for child in descendants(platform.worker.pid)},
        }
        busy, idle = _between(noted, begin, end, programs), _between(noted, end, 2 * end - begin, programs)
    crossed = sorted(key for key, calls in busy.items() if calls - idle[key] >= REQUESTS)
    return {program: [file for name, file in crossed if name == program] for program in programs.values()}


def _predict(platform: Platform) -> None:
    answer = platform.client.post("/predict", json=REPORT)
    assert answer.status_code == 200, answer.text


def counted(crossed: Crossed) -> list[str]:
    """Return the files that count, each once."""
    return sorted({file for files in crossed.values() for file in files if _room(file) not in BESIDE})


def _room(file: str) -> str:
    return Path(file).parts[0]


def _between(noted: Path, begin: float, end: float, programs: dict[int, str]) -> Counter[tuple[str, str]]:
    """Count the calls between two moments by program and file."""
    found: Counter[tuple[str, str]] = Counter()
    for line in noted.read_text().splitlines():
        at, pid, file = line.split()
        if begin <= float(at) < end and (program := programs.get(int(pid))):
            found[program, file] += 1
    return found


def main() -> None:
    with temporary_open_folder() as servers, TemporaryDirectory() as logs:
        postgres, valkey = start_postgres(servers / "postgres"), start_valkey(servers / "valkey")
        try:
            upgrade(postgres.url, postgres.url)
            found = measure(postgres.url, valkey.url, Path(logs))
        finally:
            valkey.stop()
            postgres.stop()
    for program, files in found.items():
        sys.stdout.write(f"{program}: {len(files)}\n" + "".join(f"  {file}\n" for file in files))
    files = counted(found)
    rooms = Counter(_room(file) for file in files)
    by_room = ", ".join(f"{room} {count}" for room, count in rooms.most_common())
    sys.stdout.write(f"in all, each once, without {' and '.join(BESIDE)}: {len(files)} ({by_room})\n")


if __name__ == "__main__":
    main()
