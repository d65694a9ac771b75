"""Measures `millrace submit` on a whole file: rows a second beside a loop written by hand, and its memory."""

import csv
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.loop import TYPES
from bench.site import Servers, millrace
from bench.studies import StudyRow, Tell
from devstack.local import ROOT

SEED = 7


class _Ran(NamedTuple):
    seconds: float
    mebibytes: float
    """The most that was resident."""


def files(servers: Servers, sizes: Sequence[int], compared: int, rounds: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield time and memory of files of these sizes; then of `compared` rows, by turns with the loop."""
    with millrace(servers, "files") as site:
        url = f"http://{site.target.host}:{site.target.port}"
        for rows in sizes:
            yield _row("millrace submit", rows, [_submit(url, _file(servers.folder, rows))])
            tell(f"{rows:,} rows are scored")
        source = _file(servers.folder, compared)
        pairs = [(_submit(url, source), _loop(url, source)) for _ in range(rounds)]
        for name, ran in zip(("millrace submit", "loop by hand"), zip(*pairs, strict=True), strict=True):
            yield _row(name, compared, ran)
        ratios = sorted(loop.seconds / submit.seconds for submit, loop in pairs)
        median = statistics.median(ratios)
        tell(f"millrace submit has {median:.2f} of the loop's speed ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def _row(name: str, rows: int, ran: Sequence[_Ran]) -> StudyRow:
    seconds = statistics.median(one.seconds for one in ran)
    return {
        "": name,
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows/s": round(rows / seconds),
        "resident, MiB": round(max(one.mebibytes for one in ran)),
    }


def _file(folder: Path, rows: int) -> Path:
    made, path = random.Random(SEED), folder / f"reports-{rows}.csv"  # noqa: S311 - not a secret
    if not path.exists():
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(TYPES)
            for _ in range(rows):
                writer.writerow(
                    [
                        made.choice(("MSG", "PRF")),
                        made.randint(0, 500),
                        round(made.uniform(0, 5), 2),
                        made.randint(0, 5),
                        made.randint(0, 90),
                    ]
                )
    return path


def _submit(url: str, source: Path) -> _Ran:
    command = ["-m", "millrace_client.cli.main", "--url", url, "submit", "--quiet", str(source)]
    return _run([*command, "--out", str(source.with_suffix(".scored.csv"))])


def _loop(url: str, source: Path) -> _Ran:
    return _run(["-m", "bench.loop", url, str(source), str(source.with_suffix(".scored.csv"))])


def _run(arguments: Sequence[str]) -> _Ran:
    begin = time.monotonic()
    process = os.posix_spawn(sys.executable, [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)}: ended with {os.waitstatus_to_exitcode(status)}")
    return _Ran(time.monotonic() - begin, usage.ru_maxrss / 1024)
