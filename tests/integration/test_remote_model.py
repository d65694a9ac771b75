"""A model that another server runs: here another platform, by the Open Inference Protocol, is that server."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from registry import administration
from tests.artifacts import recalibrated
from tests.conftest import NewClient
from tests.integration.test_code_model import millrace, platform_with
from tests.running import REPORT, Platform, eventually

ROW = {name: value for name, value in REPORT.items() if name != "report_id"}
TOML = 'url = "{url}/v2/models/report_scorer"\nsample = "sample.csv"\nkey = "id"\n{more}' + "".join(
    f"[input.{name}]\n" for name in ROW
)
PRIVATE = {"REMOTE_MODELS_ALLOW_PRIVATE": "true"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path: Path, closed: Platform) -> Path:
    return written(tmp_path / "ranker", closed.url, 'key_setting = "REMOTE_MODEL_KEY_RANKER"\n')


def written(made: Path, url: str, more: str = "") -> Path:
    made.mkdir()
    (made / "model.toml").write_text(TOML.format(url=url, more=more))
    (made / "sample.csv").write_text(",".join([*ROW, "id"]) + "\n" + ",".join([*map(str, ROW.values()), "a"]) + "\n")
    return made


def test_a_remote_model_is_served_as_one_of_ones_own(
    database_url: str, redis_url: str, tmp_path: Path, folder: Path, new_client: NewClient
) -> None:
    key = new_client().headers["Authorization"].removeprefix("Bearer ")
    settings = {**PRIVATE, "REMOTE_MODEL_KEY_RANKER": key}
    with platform_with(database_url, redis_url, tmp_path, **settings) as platform:
        said = millrace(database_url, tmp_path / "cache", "add", str(folder), **settings)
        assert "remote: another server scores the inputs" in said
        millrace(database_url, tmp_path / "cache", "promote", "ranker")
        rows = [{**ROW, "popularity": number, "id": str(number)} for number in range(5)]
        accepted = eventually(lambda: submitted(platform, rows))
        task = platform.client.get(f"/task/{accepted}", headers={"Prefer": "wait=50"}).json()
        here = [platform.client.post("/predict", json=REPORT | {"popularity": number}).json() for number in range(5)]
        assert task["score"] == [pytest.approx(one["score"][0]) for one in here]
        assert task["id"] == ["0", "1", "2", "3", "4"]


def submitted(platform: Platform, rows: list[dict[str, object]]) -> str | None:
    answer = platform.client.post("/models/ranker/submit", json=rows)
    return answer.json()["task_id"] if answer.status_code == 202 else None


def test_a_key_with_a_blank_is_named_and_never_shown(
    database_url: str, tmp_path: Path, folder: Path, new_client: NewClient
) -> None:
    key = new_client().headers["Authorization"].removeprefix("Bearer ")
    cache, setting = tmp_path / "cache", "REMOTE_MODEL_KEY_RANKER"
    millrace(database_url, cache, "inspect", str(folder), **PRIVATE, **{setting: f"{key}\n"})
    said = millrace(database_url, cache, "inspect", str(folder), status=1, **PRIVATE, **{setting: f"{key} x"})
    assert f"{setting} is not set" in said
    assert key not in said


def test_a_server_that_reports_another_version_is_not_asked(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    with platform_with(database_url, redis_url, tmp_path, **PRIVATE) as own:
        with engine.begin() as connection:
            administration.add(connection, recalibrated(tmp_path, "1.1.0", 3.0), "ada")
            administration.promote(connection, "report_scorer", "1.1.0", "ada")
        eventually(lambda: own.client.get("/v2/models/report_scorer").json()["versions"] == ["1.1.0"])
        moved = written(tmp_path / "moved", own.url)
        millrace(database_url, tmp_path / "cache", "add", str(moved), "--name", "moved", **PRIVATE)
        with engine.begin() as connection:
            administration.promote(connection, "report_scorer", "1.0.0", "ada")
        eventually(lambda: own.client.get("/v2/models/report_scorer").json()["versions"] == ["1.0.0"])
        said = millrace(database_url, tmp_path / "cache", "promote", "moved")
        assert "reports version 1.0.0, and 1.1.0 was added" in said


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('url = "{url}/v2/models/report_scorer"\n', "not public"),
        ('url = "http://169.254.169.254/v2/models/x"\n', "not public"),
        ('url = "http://127.0.0.1:1/v2/models/x"\n', "not public"),
        ('url = "file:///etc/passwd"\n', "not an address of http"),
        ('url = "{url}/v2/models/x"\nkey_setting = "DATABASE_URL"\n', "must be called REMOTE_MODEL_KEY_"),
        ('url = "{url}/v2/models/x"\nkey_setting = "REMOTE_MODEL_KEY_X"\n', "is not set"),
    ],
)
def test_what_may_not_be_asked_is_not_asked(
    database_url: str, tmp_path: Path, platform: Platform, toml: str, words: str
) -> None:
    folder = tmp_path / "ranker"
    folder.mkdir()
    (folder / "model.toml").write_text(toml.replace("{url}", platform.url))
    assert words in millrace(database_url, tmp_path / "cache", "add", str(folder), status=1)


@pytest.mark.parametrize(
    ("path", "words"),
    [("/v2/models/nothing", "404"), ("/heartbeat", "describes no tensors"), ("/docs", "no JSON object")],
)
def test_a_server_that_has_no_such_model_is_refused_with_what_it_said(
    database_url: str, tmp_path: Path, platform: Platform, path: str, words: str
) -> None:
    folder = tmp_path / "ranker"
    folder.mkdir()
    (folder / "model.toml").write_text(f'url = "{platform.url}{path}"\n')
    assert words in millrace(database_url, tmp_path / "cache", "add", str(folder), status=1, **PRIVATE)
