"""Large files of models: in a folder or a bucket, named by PostgreSQL, verified before anything reads them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import s3fs  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer  # type: ignore[import-untyped]
from sqlalchemy import Engine, text

from models.report_scorer.model import MODEL_FILE
from registry import administration
from registry.administration import NewVersion
from registry.builtin import CODE
from registry.large_files import LARGE, FileAway, LargeFile, read, upload
from serving import artifact, catalogue
from serving.artifact import ArtifactTampered, sha256
from tests.artifacts import recalibrated
from tests.external import DATA, WEIGHTS, split
from tests.forking import run_command
from tests.running import ROOT, Platform, eventually

pytestmark = pytest.mark.timeout(300)

KEYS = {"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where large files go: a folder, and a bucket."""
    if request.param == "file":
        yield (tmp_path / "large").as_uri()
        return
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()  # those of an earlier test know another server
    s3fs.S3FileSystem().mkdir("models")
    yield "s3://models/large"
    httpx.post(f"http://{host}:{port}/moto-api/reset")  # what it holds belongs to this process, not to the server
    server.stop()


@pytest.fixture
def platform(database_url: str, redis_url: str, tmp_path: Path, place: str) -> Iterator[Platform]:
    with running(database_url, redis_url, tmp_path, WORKER_MODELS="") as platform:
        yield platform


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A network whose weights lie in a file that is large, and no larger than that."""
    folder = tmp_path / "net"
    split(folder)
    (folder / "sample.csv").write_text("a,b,c,expected\n1,2,3,14\n4,5,6,32\n")
    with (folder / DATA).open("r+b") as file:
        file.truncate(LARGE)
    return folder


def running(database_url: str, redis_url: str, tmp_path: Path, **settings: str) -> Platform:
    (tmp_path / "logs").mkdir()
    cache = {"MODEL_CACHE": str(tmp_path / "cache"), "LOG_FORMAT": "json"}
    return Platform(database_url, redis_url, tmp_path / "logs", **cache, **settings)


def millrace(database_url: str, *arguments: str, status: int = 0, **settings: str) -> str:
    ended, said = run_command(["cli.models", *arguments], {**os.environ, "DATABASE_URL": database_url, **settings})
    assert ended == status, said
    return said


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def elsewhere(tmp_path: Path, version: str, folder: Path) -> NewVersion:
    """Return a version of the report scorer whose file lies in this folder."""
    new = recalibrated(tmp_path, version, 3.0)
    file = new.files[MODEL_FILE]
    folder.mkdir(exist_ok=True)
    (folder / sha256(file)).write_bytes(file.read_bytes())
    return replace(
        new, large={MODEL_FILE: LargeFile(sha256(file), f"{folder.as_uri()}/{sha256(file)}", file.stat().st_size)}
    )


def make_live(engine: Engine, new: NewVersion) -> None:
    with engine.begin() as connection:
        administration.add(connection, new, "ada")
        administration.promote(connection, new.model, new.version, "ada")


def live(platform: Platform, model: str = "report_scorer") -> set[str]:
    """Return the versions of the model that worker processes have."""
    workers = platform.client.get("/workers").json()
    return {one["version"] for worker in workers for one in worker["models"] if one["model"] == model}


def unloaded(platform: Platform) -> dict[str, str]:
    found: dict[str, str] = platform.client.get("/health/ready").json()["unloaded"]
    return found


def test_a_model_with_a_large_file_is_added_promoted_and_scored(
    platform: Platform, engine: Engine, net: Path, place: str, tmp_path: Path
) -> None:
    add = ("add", str(net), "--by", "ada")
    assert f"to {place}/" in millrace(platform.database_url, *add, ARTIFACTS_URL=place)
    digest = sha256(net / DATA)
    assert rows(engine, "SELECT encode(sha256, 'hex'), url, bytes FROM model_artifact_urls") == [
        (digest, f"{place}/{digest}", LARGE)
    ]
    assert rows(engine, f"SELECT FROM model_artifacts WHERE sha256 = decode('{digest}', 'hex')") == []
    again = millrace(platform.database_url, *add, ARTIFACTS_URL=place)
    assert "unchanged, it is version 1" in again
    assert "Sending" not in again, "what is there, whole, is not sent again"
    millrace(platform.database_url, "promote", "net", "--yes")
    inputs = [{"a": 1.0, "b": 2.0, "c": 3.0}]
    task_id = eventually(lambda: platform.client.post("/models/net/submit", json=inputs).json().get("task_id"))
    assert platform.finished(task_id)["value"] == [14.0]
    (kept,) = (tmp_path / "cache").glob("net/1-*")
    assert (kept / DATA).read_bytes()[: WEIGHTS.nbytes] == WEIGHTS.tobytes()
    for log in (tmp_path / "logs").iterdir():
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in log.read_text(), log


def test_a_model_whose_file_is_away_is_tried_again_and_touches_no_other(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    folder, away = tmp_path / "large", tmp_path / "away"
    new = elsewhere(tmp_path, "1.1.0", folder)
    folder.rename(away)
    with running(database_url, redis_url, tmp_path, WORKER_MODELS="report_scorer,text_classifier") as platform:
        make_live(engine, new)
        said = eventually(lambda: unloaded(platform).get("report_scorer"))
        assert "cannot be read: it is not there; put it back" in said
        task = platform.client.post("/predict", json={"text": "a puck"}).json()
        assert live(platform) == {"1.0.0"}, "it keeps what it has"
        assert live(platform, "text_classifier") != set(), task
        away.rename(folder)
        eventually(lambda: live(platform) == {"1.1.0"})
        assert eventually(lambda: "report_scorer" not in unloaded(platform))


def test_one_whose_bucket_does_not_answer_holds_up_no_other(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    name = "text_classifier"
    current = artifact.current(name)
    files = {file: current.path / file for file in current.manifest["sha256"]}
    missing = {"model.onnx": LargeFile("0" * 64, "s3://models/one", 1)}
    table = catalogue.specs()[name].table
    new = NewVersion(name, table, f"{CODE}{name}", None, files, version="2", large=missing)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", **KEYS}
        with running(database_url, redis_url, tmp_path, WORKER_MODELS=f"report_scorer,{name}", **asked) as platform:
            make_live(engine, new)
            connected, _ = silent.accept()
            with connected:
                make_live(engine, recalibrated(tmp_path, "1.1.0", 3.0))
                eventually(lambda: live(platform) == {"1.1.0"})
                assert name not in unloaded(platform), "the bucket is still waited for"
                assert live(platform, name) == {current.version}


def test_a_file_that_is_another_is_not_loaded(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    new = elsewhere(tmp_path, "1.1.0", tmp_path / "large")
    (file,) = (tmp_path / "large").iterdir()
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with running(database_url, redis_url, tmp_path) as platform:
        make_live(engine, new)
        assert "sha256 is" in eventually(lambda: unloaded(platform).get("report_scorer"))
        assert live(platform) == {"1.0.0"}
        assert not list((tmp_path / "cache").glob("report_scorer/1.1.0-*"))


def test_add_says_that_a_bucket_is_away_and_stores_nothing(
    database_url: str, engine: Engine, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    asked = {**KEYS, "AWS_ENDPOINT_URL": f"http://user:hush-hush@127.0.0.1:{port}"}
    said = millrace(database_url, "add", str(net), status=1, ARTIFACTS_URL="s3://models/large", **asked)
    assert f"{DATA} cannot be stored at s3://models/large: " in said
    assert "hush-hush" not in said
    assert rows(engine, "SELECT FROM models WHERE name = 'net'") == []
    assert rows(engine, "SELECT FROM model_artifact_urls") == []


def test_add_refuses_a_url_with_a_password_and_does_not_quote_it(database_url: str, net: Path) -> None:
    said = millrace(database_url, "add", str(net), status=1, ARTIFACTS_URL="s3://key:hush-hush@models/large")
    assert "ARTIFACTS_URL is not valid: it must hold no password" in said
    assert "hush-hush" not in said


def test_a_file_whose_version_was_refused_is_named_by_nothing_and_the_same_add_works_later(
    engine: Engine, net: Path, place: str
) -> None:
    told: list[str] = []
    sent = upload({DATA: net / DATA}, place, lambda url, _: told.append(url))
    new = NewVersion("net", "tasks_of_others", "onnx", None, {DATA: net / DATA}, large=sent)
    with engine.connect() as connection:
        administration.add(connection, new, "ada")
        connection.rollback()  # what comes after fails
    assert rows(engine, "SELECT FROM model_artifact_urls") == []
    assert upload({DATA: net / DATA}, place, lambda url, _: told.append(url)) == sent
    assert told == [sent[DATA].url]
    with engine.begin() as connection:
        administration.add(connection, new, "ada")
    assert rows(engine, "SELECT url FROM model_artifact_urls") == [(sent[DATA].url,)]


def test_a_file_of_the_same_size_that_is_another_is_sent_again(net: Path, tmp_path: Path) -> None:
    sent = upload({DATA: net / DATA}, (tmp_path / "large").as_uri(), lambda *_: None)[DATA]
    (file,) = (tmp_path / "large").iterdir()
    with file.open("r+b") as content:
        content.write(b"evil")
    upload({DATA: net / DATA}, (tmp_path / "large").as_uri(), lambda *_: None)
    assert sha256(file) == sent.sha256


def test_a_file_that_changes_while_it_is_sent_is_not_stored(net: Path, tmp_path: Path) -> None:
    def change(*_: object) -> None:
        with (net / DATA).open("r+b") as content:
            content.write(b"more")

    with pytest.raises(ArtifactTampered, match="changed while it was read; add it again"):
        upload({DATA: net / DATA}, (tmp_path / "large").as_uri(), change)
    assert list((tmp_path / "large").iterdir()) == []


def test_of_a_file_that_is_longer_than_it_was_one_byte_more_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    assert sum(map(len, read((tmp_path / "file").as_uri(), 100))) == 101


def test_small_files_stay_in_postgresql(net: Path, place: str) -> None:
    with (net / DATA).open("r+b") as file:
        file.truncate(LARGE - 1)
    assert upload({DATA: net / DATA}, place, lambda *_: None) == {}


def test_what_a_program_lacks_to_read_a_bucket_is_named() -> None:
    code = """
import sys
sys.modules["s3fs"] = None
from registry import large_files
list(large_files.read("s3://models/one", 1))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert FileAway.__name__ in done.stderr
    assert "install requirements/buckets.txt, or build its image with BUCKETS=on" in done.stderr
