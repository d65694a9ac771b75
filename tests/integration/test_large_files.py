"""Large files of models, served: fetched, verified, tried again while they are away, with no effect on other models."""

import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from models.report_scorer.model import MODEL_FILE
from registry import administration
from registry.administration import NewVersion
from registry.builtin import CODE
from registry.large_files import LARGE, LargeFile
from serving import artifact, catalogue
from serving.artifact import sha256
from tests.artifacts import recalibrated
from tests.external import DATA, WEIGHTS
from tests.large_files import KEYS, bucket, millrace, network, rows
from tests.running import REPORT, Platform, eventually, handler

pytestmark = pytest.mark.timeout(300)

CLASSIFIER = "text_classifier"


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


@pytest.fixture
def platform(database_url: str, redis_url: str, tmp_path: Path, place: str) -> Iterator[Platform]:
    with running(database_url, redis_url, tmp_path, WORKER_MODELS="") as platform:
        yield platform


def running(database_url: str, redis_url: str, tmp_path: Path, **settings: str) -> Platform:
    (tmp_path / "logs").mkdir()
    cache = {"MODEL_CACHE": str(tmp_path / "cache"), "LOG_FORMAT": "json"}
    return Platform(database_url, redis_url, tmp_path / "logs", **cache, **settings)


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


def test_with_the_pool_too_it_is_tried_again(database_url: str, engine: Engine, tmp_path: Path) -> None:
    folder, away = tmp_path / "large", tmp_path / "away"
    new = elsewhere(tmp_path, "1.1.0", folder)
    folder.rename(away)
    with running(database_url, "", tmp_path, ENGINE="pool") as platform:
        make_live(engine, new)
        assert "it is not there; put it back" in eventually(lambda: unloaded(platform).get("report_scorer"))
        assert platform.client.post("/predict", json=REPORT).json()["model_version"] == "1.0.0"
        away.rename(folder)
        eventually(lambda: live(platform) == {"1.1.0"})


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A bucket that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name, value in {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}", **KEYS}.items():
            monkeypatch.setenv(name, value)
        yield server


def in_a_bucket() -> NewVersion:
    """Return a version of the text classifier whose network lies in a bucket."""
    current = artifact.current(CLASSIFIER)
    files = {file: current.path / file for file in current.manifest["sha256"]}
    missing = {"model.onnx": LargeFile("0" * 64, "s3://models/one", 1)}
    table = catalogue.specs()[CLASSIFIER].table
    return NewVersion(CLASSIFIER, table, f"{CODE}{CLASSIFIER}", None, files, version="2", large=missing)


def test_one_whose_bucket_does_not_answer_holds_up_no_other(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path, silent: socket.socket
) -> None:
    with running(database_url, redis_url, tmp_path, WORKER_MODELS=f"report_scorer,{CLASSIFIER}") as platform:
        make_live(engine, in_a_bucket())
        connected, _ = silent.accept()
        with connected:
            make_live(engine, recalibrated(tmp_path, "1.1.0", 3.0))
            eventually(lambda: live(platform) == {"1.1.0"})
            assert CLASSIFIER not in unloaded(platform), "the bucket is still waited for"
            assert live(platform, CLASSIFIER) == {artifact.current(CLASSIFIER).version}


def test_a_worker_starts_with_the_others(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path, silent: socket.socket
) -> None:
    make_live(engine, in_a_bucket())
    chosen = f"report_scorer,{CLASSIFIER}"
    with handler(database_url, redis_url, tmp_path, WORKER_MODELS=chosen, MODEL_CACHE=str(tmp_path / "c")) as platform:
        worker = platform.start_worker()
        connected, _ = silent.accept()
        try:
            eventually(lambda: live(platform) == {"1.0.0"})
            assert "cannot be read" not in worker.log.read_text(), "the bucket is still waited for"
        finally:
            connected.close()
            worker.stop(signal.SIGKILL)
