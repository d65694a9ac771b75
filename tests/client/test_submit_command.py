"""`millrace submit` and its sisters: files of every format in and out, bad rows named, and what a script needs."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from moto.server import ThreadedMotoServer  # type: ignore[import-untyped]
from sqlalchemy import Engine

from store import keys
from tests.client.commands import environment, millrace
from tests.foreign_files import FOREIGN
from tests.running import Platform, free_port

Run = Callable[..., CompletedProcess[bytes]]

HEAD = ["customer", "abuse_type", "report_text_len", "profile_rating", "popularity", "lifetime_matches_created", "note"]
COUNT = 23


def cells(number: int) -> list[Any]:
    kind = "MSG" if number % 2 else "PRF"
    return [f"00{number}", kind, number, number / 4, number % 6, number * 3, 'a "note",\nof two']


@pytest.fixture
def run(platform: Platform, tmp_path: Path) -> Run:
    settings = environment(tmp_path, platform.url)
    return lambda *arguments, **more: millrace(*arguments, environment=settings, **more)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    file = tmp_path / "reports.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([HEAD, *map(cells, range(COUNT))])
    return file


FLAGS = ("--key", "customer", "--ignore-unknown", "--batch", "5")


def read(file: Path) -> list[dict[str, Any]]:
    content = file.read_bytes()
    name = file.name
    if name.endswith(".gz"):
        content, name = gzip.decompress(content), name[:-3]
    if name.endswith(".zst"):
        content, name = zstd.decompress(content), name[:-4]
    if name.endswith(".parquet"):
        return pq.read_table(io.BytesIO(content)).to_pylist()
    if name.endswith(".arrow"):
        return pa.ipc.open_file(content).read_all().to_pylist()
    if name.endswith(".ndjson"):
        return [json.loads(line) for line in content.splitlines()]
    if name.endswith(".json"):
        return json.loads(content)  # type: ignore[no-any-return]
    delimiter = "\t" if name.endswith(".tsv") else ","
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=delimiter)
    numbers = {"report_text_len": int, "popularity": int, "lifetime_matches_created": int, "profile_rating": float}
    return [{name: {**numbers, "score": float}.get(name, str)(cell) for name, cell in row.items()} for row in rows]


def test_every_format_comes_out_and_goes_in_again(run: Run, reports: Path, tmp_path: Path) -> None:
    first = tmp_path / "scored.parquet"
    done = run("submit", str(reports), "--out", str(first), *FLAGS)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, b"23 of 23 rows scored" in done.stderr) == (b"", True)
    rows = read(first)
    assert [row["report_id"] for row in rows] == [f"00{number}" for number in range(COUNT)]
    assert pq.read_schema(first).field("report_text_len").type == pa.int32()
    assert {"score", "model_version"} < set(rows[0])
    for ending in ("csv", "tsv.gz", "ndjson", "json.zst", "arrow", "parquet"):
        out = tmp_path / f"again.{ending}"
        assert run("submit", str(first), "--out", str(out), "--ignore-unknown").returncode == 0
        assert read(out) == rows, ending
        first = out
    assert not [file for file in tmp_path.iterdir() if "unfinished" in file.name]


def test_a_file_as_excel_saves_it_is_scored(run: Run, tmp_path: Path) -> None:
    """With semicolons and the line that states them, decimal commas, empty lines, and an ending in capitals."""
    german = ["abuse_type;report_text_len;profile_rating;popularity;lifetime_matches_created", "MSG;1;4,5;3;4"]
    (tmp_path / "REPORTS.CSV").write_text("\ufeffsep=;\r\n" + "\r\n\r\n".join(german) + "\r\n\r\n")
    out = tmp_path / "SCORED.CSV"
    done = run("submit", str(tmp_path / "REPORTS.CSV"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(io.StringIO(out.read_text()))
    assert (row["profile_rating"], row["popularity"]) == ("4.5", "3")


def test_a_formula_among_the_keys_comes_out_as_it_went_in(run: Run, tmp_path: Path) -> None:
    keys = ["=1+1", "@x", "a;=1"]
    file, out = tmp_path / "reports.csv", tmp_path / "scored.csv"
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([["report_id", *HEAD[1:6]], *([key, *cells(1)[1:6]] for key in keys)])
    assert run("submit", str(file), "--out", str(out)).returncode == 0
    assert [row["report_id"] for row in read(out)] == keys


def test_standard_input_and_output_are_files_too(run: Run, reports: Path) -> None:
    forms = ("--format", "csv", "--out", "-", "--out-format", "ndjson")
    done = run("submit", "-", *forms, *FLAGS, given=reports.read_bytes())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, [row["report_id"] for row in rows]) == (0, [f"00{number}" for number in range(COUNT)])
    outputs = run("submit", str(reports), "--out", "-", "--out-format", "csv", "--outputs-only", *FLAGS)
    assert outputs.stdout.splitlines()[0] == b"report_id,score,model_version"
    detailed = run("submit", str(reports), "--out", "-", "--out-format", "ndjson", "--details", *FLAGS)
    assert {"row", "scored_at", "task_id", "position"} < set(json.loads(detailed.stdout.splitlines()[0]))


@pytest.fixture
def spoilt(reports: Path) -> Path:
    text = reports.read_text().replace("007,MSG,7,", "007,XXX,-7,").replace("0012,PRF,12,", "0012,PRF,,")
    reports.write_text(text)
    return reports


def test_bad_rows_stop_are_left_out_or_are_written_down(run: Run, spoilt: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.csv"
    stopped = run("submit", str(spoilt), "--out", str(out), *FLAGS)
    assert (stopped.returncode, out.exists()) == (1, False)
    assert b"Must be 'MSG' or 'PRF'" in stopped.stderr
    skipped = run("submit", str(spoilt), "--out", str(out), "--on-invalid", "skip", *FLAGS)
    assert (skipped.returncode, len(read(out)), b"2 rejected" in skipped.stderr) == (3, COUNT - 2, True)
    collected = run("submit", str(spoilt), "--out", str(out), "--on-invalid", "collect", "--json", *FLAGS)
    assert collected.returncode == 3
    result = json.loads(collected.stdout)
    assert (result["scored"], result["rejected"], result["rejects"]) == (COUNT - 2, 2, f"{out}.rejects.csv")
    rejects = list(csv.DictReader(io.StringIO((tmp_path / "scored.csv.rejects.csv").read_text())))
    assert [(reject["row"], reject["field"]) for reject in rejects] == [
        *(("8", "abuse_type"), ("8", "report_text_len"), ("13", "report_text_len")),
    ]
    assert "not the string 'XXX'" in rejects[0]["reason"]


def test_a_dry_run_says_what_would_be_rejected_and_stores_nothing(run: Run, spoilt: Path) -> None:
    def job_ids() -> list[str]:
        return [json.loads(line)["job_id"] for line in run("jobs", "list", "--json").stdout.splitlines()]

    before = job_ids()
    done = run("submit", str(spoilt), "--dry-run", *FLAGS)
    assert (done.returncode, b"21 rows are valid, 2 would be rejected" in done.stderr) == (3, True)
    assert done.stdout.decode().splitlines()[0].startswith("row 8: abuse_type: Must be 'MSG' or 'PRF'")
    assert job_ids() == before


def test_without_waiting_the_jobs_id_is_printed(run: Run, reports: Path, tmp_path: Path) -> None:
    done = run("submit", str(reports), *FLAGS)
    assert done.returncode == 0, done.stderr
    job = done.stdout.decode().strip()
    out = tmp_path / "later.csv"
    assert run("jobs", "results", job, "--out", str(out)).returncode == 0
    assert len(read(out)) == COUNT
    shown = json.loads(run("jobs", "show", job, "--json").stdout)
    assert (shown["status"], shown["scored"], shown["parts"]) == ("DONE", COUNT, 5)
    assert job in [json.loads(line)["job_id"] for line in run("jobs", "list", "--json").stdout.splitlines()]
    assert run("jobs", "cancel", job).returncode in (0, 1)


def test_the_jobs_id_is_printed_though_the_job_has_ended_by_then(run: Run, reports: Path) -> None:
    reports.write_text("abuse_type\nnonsense\n")  # nothing to score, so that it ends as soon as all has come
    done = run("submit", str(reports), "--on-invalid", "skip")
    assert done.returncode == 3, done.stderr
    shown = json.loads(run("jobs", "show", done.stdout.decode().strip(), "--json").stdout)
    assert (shown["status"], shown["scored"], shown["rejected"]) == ("DONE", 0, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("submit", "/nowhere.csv"), 1, "No such file"),
        (("submit", "rows"), 1, "does not tell its format"),
        (
            ("submit", "WORKBOOK"),
            1,
            "the file is an Excel workbook (.xlsx) or another zip archive, not a text file; open",
        ),
        (("submit", "REPORTS"), 1, "Unknown column 'customer'"),
        (("submit", "REPORTS", "--map", "nobody=popularity"), 1, "there is no column 'nobody'"),
        (("submit", "REPORTS", "--map", "customer=nobody"), 2, "the fields are abuse_type"),
        (("submit", "REPORTS", "--model", "nobody"), 1, "Unknown model 'nobody'"),
        (("submit", "REPORTS", "--resume"), 1, "no interrupted run"),
        (("submit", "REPORTS", "--nonsense"), 2, "No such option"),
        (("task", "01a1fbff-6bc2-77a0-9580-9b6d17fbabd4"), 1, "no task of yours"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_with_its_exit_code(
    run: Run, reports: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    workbook = reports.with_name("workbook.csv")
    workbook.write_bytes(FOREIGN["a workbook"][0])
    files = {"REPORTS": str(reports), "WORKBOOK": str(workbook)}
    done = run(*(files.get(one, one) for one in arguments))
    assert (done.returncode, words in done.stderr.decode(), b"Traceback" in done.stderr) == (code, True, False), done


def test_keys_come_from_the_environment_or_a_file_that_nobody_else_reads(
    closed: Platform, closed_engine: Engine, tmp_path: Path
) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "scripts", keys.Role.SUBMIT)
    none = environment(tmp_path, closed.url)
    refused = millrace("models", "list", environment=none)
    assert (refused.returncode, b"API key" in refused.stderr) == (4, True)
    assert millrace("models", "list", environment={**none, "MILLRACE_API_KEY": key}).returncode == 0
    file = tmp_path / "config" / "millrace" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'[closed]\nurl = "{closed.url}"\nkey = "{key}"\n')
    file.chmod(0o644)
    nowhere = environment(tmp_path, f"http://127.0.0.1:{free_port()}")
    open_to_all = millrace("--profile", "closed", "models", "list", "--json", environment=nowhere)
    assert (open_to_all.returncode, b"chmod 600" in open_to_all.stderr) == (1, True)
    file.chmod(0o600)
    listed = millrace("--profile", "closed", "models", "list", "--json", environment=nowhere)
    assert listed.returncode == 0, listed.stderr
    assert "report_scorer" in [json.loads(line)["name"] for line in listed.stdout.splitlines()]
    assert b"there is no profile 'other'" in millrace("--profile", "other", "tasks", environment=nowhere).stderr


def test_every_listing_has_json_and_every_shell_completes(run: Run) -> None:
    for listing in (("tasks",), ("models", "list"), ("jobs", "list")):
        lines = run(*listing, "--json").stdout.splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines), listing
        assert run(*listing).returncode == 0
    assert json.loads(run("models", "show", "report_scorer", "--json").stdout)["key"] == "report_id"
    for shell in ("bash", "zsh", "fish"):
        assert b"_MILLRACE_COMPLETE" in run("completion", shell).stdout


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    import s3fs  # type: ignore[import-untyped]

    s3fs.S3FileSystem().mkdir("reports")
    yield settings
    server.stop()


def test_files_of_a_bucket_are_files(platform: Platform, reports: Path, tmp_path: Path, bucket: dict[str, str]) -> None:
    settings = {**environment(tmp_path, platform.url), **bucket}
    first = millrace("submit", str(reports), "--out", "s3://reports/scored.parquet", *FLAGS, environment=settings)
    assert first.returncode == 0, first.stderr
    out = tmp_path / "back.ndjson"
    again = millrace(
        *("submit", "s3://reports/scored.parquet", "--out", str(out), "--ignore-unknown"), environment=settings
    )
    assert again.returncode == 0, again.stderr
    assert [row["report_id"] for row in read(out)] == [f"00{number}" for number in range(COUNT)]
