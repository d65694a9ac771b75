"""`millrace outcomes`: files of every format, sent again without harm, and in a memory that does not grow with them."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from millrace_client import AsyncClient, Client, InvalidInput

from tests.client.commands import command, environment, millrace
from tests.running import Platform

Run = Callable[..., CompletedProcess[bytes]]

HEAD = ["key", "outcome", "decided_at", "reviewer", "source"]
WEIGHED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture
def run(platform: Platform, tmp_path: Path) -> Run:
    settings = environment(tmp_path, platform.url)
    return lambda *arguments, **more: millrace("outcomes", *arguments, environment=settings, **more)


def rows(count: int, name: str | None = None, reviewer: str = "ada") -> list[list[str]]:
    name = name or uuid4().hex
    return [[f"{name}-{n}", "abuse", "2026-01-31T09:00:00+01:00", reviewer, "desk"] for n in range(count)]


def written(file: Path, given: list[list[str]]) -> Path:
    if file.suffix == ".parquet":
        pq.write_table(
            pa.table({name: list(values) for name, values in zip(HEAD, zip(*given, strict=True), strict=True)}), file
        )
    elif file.suffix == ".ndjson":
        file.write_text("".join(json.dumps(dict(zip(HEAD, row, strict=True))) + "\n" for row in given))
    else:
        with file.open("w", newline="") as out:
            csv.writer(out).writerows([HEAD, *given])
    return file


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_a_file_is_reported_and_again_changes_nothing(run: Run, tmp_path: Path, ending: str) -> None:
    file = written(tmp_path / f"outcomes.{ending}", rows(25))
    first = run("add", str(file), "--model", "report_scorer", "--batch", "10", "--json")
    assert first.returncode == 0, first.stderr
    expected: dict[str, Any] = {"stored": 25, "repeated": 0, "matched": 0, "waiting": 25, "several": []}
    assert json.loads(first.stdout) == expected
    again = run("add", str(file), "--model", "report_scorer", "--json")
    assert json.loads(again.stdout) == expected | {"stored": 0, "repeated": 25}


def test_columns_are_renamed_and_left_out(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    key = uuid4().hex
    file.write_text(f"report;outcome;decided_at;note\n{key};unclear;2026-01-31 09:00+00;x\n")
    refused = run("add", str(file), "--model", "report_scorer", "--map", "report=key")
    assert refused.returncode == 1
    assert b"Unknown column 'note'" in refused.stderr
    done = run("add", str(file), "--model", "report_scorer", "--map", "report=key", "--ignore-unknown")
    assert done.returncode == 0, done.stderr
    (one,) = map(json.loads, run("list", "--key", key, "--json").stdout.splitlines())
    assert (one["outcome"], one["model"], one["predictions"]) == ("unclear", "report_scorer", 0)
    assert key in run("list", "--key", key).stdout.decode()


def test_a_faulty_row_is_named(run: Run, tmp_path: Path) -> None:
    given = rows(3)
    given[1][2] = "2026-01-31T09:00:00"
    refused = run("add", str(written(tmp_path / "outcomes.csv", given)), "--model", "report_scorer")
    assert refused.returncode == 1
    assert b"#/1/decided_at" in refused.stderr


def test_memory_does_not_grow_with_the_file(platform: Platform, tmp_path: Path) -> None:
    settings = environment(tmp_path, platform.url)

    def kilobytes(file: Path) -> int:
        arguments = command("outcomes", "add", str(file), "--model", "report_scorer", "--batch", "2000")
        done = subprocess.run(
            [sys.executable, "-c", WEIGHED, *arguments], env=settings, capture_output=True, check=True, timeout=200
        )
        code, size = map(int, done.stdout.split())
        assert code == 0, done.stderr
        return size

    small = written(tmp_path / "small.csv", rows(8_000, "s" * 150, "r" * 100))
    large = written(tmp_path / "large.csv", rows(50_000, "l" * 150, "r" * 100))
    grown = kilobytes(large) - kilobytes(small)
    assert grown * 1024 < (large.stat().st_size - small.stat().st_size) / 2


async def test_both_clients_report_and_list(platform: Platform) -> None:
    names, key = ("key", "outcome", "decided_at", "reviewer", "source"), uuid4().hex
    given = [dict(zip(names, row, strict=True)) for row in rows(3, key)]
    with Client(platform.url) as client:
        assert client.add_outcomes(given, model="report_scorer").stored == 3
        assert [one["key"] for one in client.outcomes(key=f"{key}-1")] == [f"{key}-1"]
        with pytest.raises(InvalidInput, match="Name the model"):
            client.add_outcomes(given)
        rules = {"kinds": ["abuse", "not_abuse", "unclear"], "target": "abuse", "slices": ["abuse_type"]}
        assert client.model("report_scorer").outcomes == rules
    async with AsyncClient(platform.url) as client:
        assert (await client.add_outcomes(given, model="report_scorer")).repeated == 3
        assert [one["key"] async for one in client.outcomes(model="report_scorer", limit=1)] == [f"{key}-2"]
