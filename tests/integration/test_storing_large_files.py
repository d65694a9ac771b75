"""Large files of models, stored: all of a version or nothing, and nothing secret is said."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from registry import administration
from registry.administration import NewVersion
from registry.large_files import LARGE, FileAway, read, upload
from serving.artifact import ArtifactTampered, sha256
from tests.external import DATA
from tests.large_files import KEYS, bucket, millrace, network, rows
from tests.running import ROOT


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where large files go: a folder, and a bucket."""
    if request.param == "file":
        yield (tmp_path / "large").as_uri()
        return
    with bucket(monkeypatch) as url:
        yield url


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return network(tmp_path / "net")


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


def test_a_file_that_is_shorter_is_still_being_copied_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with pytest.raises(FileAway, match="5 bytes of 10"):
        list(read(f"file://{tmp_path}/file", 10))


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
