"""Client, handler and worker are killed at random moments while a file is scored: the output is that of a quiet run."""

import csv
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from store.engine import connect
from tests.client.commands import command, environment, millrace
from tests.running import Platform

ROWS, KILLS = 200_000, 20
NAMES = ("lifetime_matches_created", "report_id")
FLAGS = ("--on-invalid", "collect", "--batch", "5000", "--quiet")


@pytest.mark.timeout(400)
def test_a_file_survives_twenty_kills(database_url: str, redis_url: str, tmp_path: Path) -> None:
    chance = random.Random(16)  # noqa: S311
    reports, quiet, out = tmp_path / "reports.csv", tmp_path / "quiet.csv", tmp_path / "scored.csv"
    with reports.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("abuse_type", "report_text_len", "profile_rating", "popularity", *NAMES))
        for number in range(ROWS):
            popularity = 9 if number % 50_021 == 77 else number % 6
            writer.writerow(("MSG", number % 3000, number % 40 / 8, popularity, number % 900, f"{number:06}"))
    settings = {"LEASE_SECONDS": "3", "RESCUE_INTERVAL_SECONDS": "1", "REPUBLISH_AFTER_SECONDS": "2"}
    with Platform(database_url, redis_url, tmp_path, **settings) as platform:
        client = environment(tmp_path, platform.url)
        done = millrace("submit", str(reports), "--out", str(quiet), *FLAGS, environment=client)
        assert done.returncode == 3, done.stderr
        resume: tuple[str, ...] = ()
        victims = ["client"] * 14 + ["handler"] * 3 + ["worker"] * 3
        chance.shuffle(victims)
        for victim in [*victims, None]:
            submit = command("submit", str(reports), "--out", str(out), *FLAGS, *resume)
            process = subprocess.Popen(submit, env=client, stderr=subprocess.PIPE)
            if victim is not None:
                time.sleep(chance.uniform(0.5, 2.5))
            if victim == "client":
                process.kill()
            elif victim == "handler":
                platform.handler.stop(signal.SIGKILL)
                platform.handler = platform.start_handler()
                process.kill()
            elif victim == "worker":
                platform.worker.stop(signal.SIGKILL)
                platform.worker = platform.start_worker()
                process.kill()
            _, said = process.communicate(timeout=200)
            state = tmp_path / "state" / "millrace" / "jobs"
            resume = ("--resume",) if any(state.iterdir()) else ()
        assert process.returncode == 3, said
        engine = connect(database_url)
        with engine.connect() as connection:
            twice = "SELECT count(*) FROM (SELECT FROM job_parts GROUP BY job_id, part HAVING count(*) > 1) AS twice"
            assert connection.scalar(text(twice)) == 0
        engine.dispose()
    assert out.read_bytes() == quiet.read_bytes()
    assert not list((tmp_path / "state" / "millrace" / "jobs").iterdir())
    rejects = [Path(f"{file}.rejects.csv").read_text() for file in (quiet, out)]
    assert rejects[0] == rejects[1]
    assert [line.split(",")[0] for line in rejects[0].splitlines()[1:]] == ["78", "50099", "100120", "150141"]
