"""docs/tutorials/model-in-the-repository.md works as it stands: the iris model is built from the page, and answers."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from store.engine import connect
from tests.running import ROOT, Platform, free_port, temporary_open_folder

PAGE = (ROOT / "docs" / "tutorials" / "model-in-the-repository.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`(models/iris/[\w.]+)`\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.replace("\\\n", "").splitlines()
    if not line.startswith("make ")  # this environment has all of it
]
ROOMS = ("models", "migrations", "store", "handler", "worker", "broker", "telemetry", "webhooks", "tests", "cli")
FLOWER = {"sepal_length": 6.2, "sepal_width": 2.2, "petal_length": 4.5, "petal_width": 1.5}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this one, with what the page adds to it."""
    ignored = shutil.ignore_patterns("__pycache__")
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)
    for file in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    for name, content in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


@pytest.mark.timeout(300)
def test_the_model_of_the_page_is_built_and_answers(
    checkout: Path, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    assert {Path(name).name for name, _ in FILES} == {
        *("__init__.py", "spec.py", "features.py", "model.py", "train.py", "README.md")
    }
    train, revise, conform, submit = COMMANDS
    here = {"PYTHONPATH": f"{checkout}:{ROOT}", "PYTHONSAFEPATH": "1", "UVICORN_APP_DIR": str(checkout)}
    environment = {**os.environ, **here, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    for command in (train, revise, ".venv/bin/alembic upgrade head", conform):
        _run(command, checkout, environment)
    (migration,) = (checkout / "migrations" / "versions").glob("iris_*.py")
    assert "create_table" in migration.read_text(encoding="utf-8")
    logs = tmp_path / "logs"
    logs.mkdir()
    with Platform(database_url, redis_url, logs, WORKER_MODELS="iris", **here) as platform:
        _run(submit.replace("8081", str(platform.port)), checkout, environment)
        path, body = re.search(r":8081(/\S+).*-d '(.*)'", submit).groups()  # type: ignore[union-attr]
        answer = platform.client.post(path, content=body, headers={"Content-Type": "application/json"})
        task = platform.finished(answer.json()["task_id"])
        assert (task["status"], task["species"]) == ("SUCCESS", ["versicolor"])
        assert "iris" in platform.client.get("/openapi.json").text
        assert platform.client.get("/models/iris").json()["evaluation"]["accuracy"] > 0.9
        refused = platform.client.post("/models/iris/submit", json=[FLOWER | {"petal_width": -1}])
        assert refused.json()["errors"][0]["pointer"] == "#/0/petal_width"
    engine = connect(database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT petal_width, species FROM iris_species")).all()
    engine.dispose()
    assert {tuple(row) for row in rows} == {(1.5, "versicolor")}


def test_a_spec_ahead_of_its_table_is_named_and_its_migration_is_written_where_no_platform_runs(
    checkout: Path,
) -> None:
    with temporary_open_folder() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
            "PYTHONPATH": f"{checkout}:{ROOT}",
            "PYTHONSAFEPATH": "1",
            "MILLRACE_FOLDER": str(folder / "millrace"),
            "PORT": str(free_port()),
            "FLOWER_PORT": str(free_port()),
        }
        up = [Path(sys.executable).parent / "millrace", "up"]
        refused = subprocess.run(up, cwd=checkout, env=environment, capture_output=True, text=True, timeout=120)
        assert refused.returncode == 1
        assert "models/iris/spec.py describes what no migration makes" in refused.stdout
        _run(".venv/bin/millrace migration iris", checkout, environment)
        (migration,) = (checkout / "migrations" / "versions").glob("iris_*.py")
        assert "create_table('iris_species'" in (written := migration.read_text(encoding="utf-8"))
        spec = checkout / "models" / "iris" / "spec.py"
        spec.write_text(spec.read_text(encoding="utf-8").replace("petal_width:", "petal_breadth:"), encoding="utf-8")
        with pytest.raises(
            AssertionError, match="there is a migration iris already; choose another name, as in iris_2"
        ):
            _run(".venv/bin/millrace migration iris", checkout, environment)
        assert migration.read_text(encoding="utf-8") == written


def test_a_migration_is_written_for_a_model_that_there_is_and_only_where_a_table_differs(
    checkout: Path, database_url: str
) -> None:
    here = {"PYTHONPATH": f"{checkout}:{ROOT}", "PYTHONSAFEPATH": "1", "DATABASE_URL": database_url}
    environment = {**os.environ, **here}
    versions = checkout / "migrations" / "versions"
    before = set(versions.glob("*.py"))
    refused = _try(".venv/bin/millrace migration irris", checkout, environment)
    assert (refused.returncode, refused.stdout, refused.stderr) == (
        1,
        "",
        "millrace migration: there is no model 'irris'; the models are "
        "image_classifier, iris, report_scorer, text_classifier, translator\n",
    )
    assert set(versions.glob("*.py")) == before
    _run(".venv/bin/millrace migration iris", checkout, environment)
    assert set(versions.glob("*.py")) - before == {versions / "iris_tables.py"}
    _run(".venv/bin/alembic upgrade head", checkout, environment)
    for name in ("iris", "report_scorer", "platform_queue"):
        assert "nothing to migrate" in _run(f".venv/bin/millrace migration {name}", checkout, environment)
    assert set(versions.glob("*.py")) - before == {versions / "iris_tables.py"}
    (checkout / "models" / "iris" / "spec.py").write_text("SPEC = None\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"models/iris/spec\.py cannot be read: AttributeError"):
        _run(".venv/bin/millrace migration iris", checkout, environment)


def _run(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = _try(command, folder, environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _try(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    found = program.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    return subprocess.run([found, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
