"""The commands that the documentation has people run in containers run on what those images have, and no more."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from shutil import copytree

import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from migrations.settings import addresses
from store import keys
from tests.running import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = {
    stage: (base, re.findall(r"^COPY (?!--)(.*) (\S+)$", body, re.M))
    for base, stage, body in re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
}
PAGES = [
    f"docs/how-to/{page}.md" for page in ("failed-tasks", "keys", "retention", "erasure", "evaluate", "kubernetes")
]
OWNERS = (
    r"(?:run --rm (?:migrate|retain) python -m cli\.|deployment/admin -- python -m cli\.|run --rm cli millrace )(\w+)"
)

PROBE = """
import runpy, sys
from importlib.abc import MetaPathFinder
from pathlib import Path
missing, ours, module, *sys.argv[1:] = sys.argv[1].split(","), sys.argv[2].split(","), *sys.argv[3:]
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        room, place = name.partition(".")[0], Path(*name.split("."))
        if room in missing or (room in ours and not place.is_dir() and not place.with_suffix(".py").is_file()):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
runpy.run_module(module, run_name="__main__")
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copy what the images have of our code into a folder each."""
    folders = {image: tmp_path_factory.mktemp("app") / image for image in ("migrate", "handler", "export")}
    for image, folder in folders.items():
        folder.mkdir()
        stage = f"{image}-code"
        while stage in STAGES:
            stage, copied = STAGES[stage]
            for sources, target in copied:
                for source in map(ROOT.__truediv__, sources.split()):
                    (folder / target).mkdir(exist_ok=True)
                    if source.is_dir():
                        copytree(source, folder / target, dirs_exist_ok=True)
                    else:
                        (folder / target / source.name).write_bytes(source.read_bytes())
    return folders


def run(app: Path, command: str, *arguments: str) -> str:
    """Run a command of an image with the packages and folders that are in it, and no others."""
    pinned = (ROOT / "requirements" / f"{app.name}.txt").read_text(encoding="utf-8")
    there = {name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[|==)", pinned, re.M)}
    packages = packages_distributions().items()
    missing = {package for package, owners in packages if not {o.lower().replace("_", "-") for o in owners} & there}
    ours = {room.name for room in (*ROOT.iterdir(), *(ROOT / "client").iterdir()) if room.is_dir()}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, ",".join(missing - ours), ",".join(ours), command, *arguments],
        cwd=app,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_image_has_what_the_commands_of_the_pages_need(apps: dict[str, Path]) -> None:
    named = {command for page in PAGES for command in re.findall(OWNERS, (ROOT / page).read_text(encoding="utf-8"))}
    assert named == {"keys", "replay", "redact", "retain", "forget", "models", "drift"}
    for command in named:
        assert "Usage:" in run(apps["migrate"], f"cli.{command}", "--help")


def test_every_command_that_is_copied_to_the_handler_runs_there(apps: dict[str, Path]) -> None:
    commands = [file.stem for file in (apps["handler"] / "cli").glob("*.py") if "__main__" in file.read_text()]
    assert "keys" in commands
    for command in commands:
        assert "Usage:" in run(apps["handler"], f"cli.{command}", "--help")


@pytest.fixture
def at(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")  # the commands are the owner's
    monkeypatch.setenv("MIGRATIONS_DATABASE_URL", database_url)
    assert addresses()[0] == database_url


@pytest.mark.usefixtures("at")
def test_the_owners_commands_work_in_the_image_that_knows_the_owner(apps: dict[str, Path], engine: Engine) -> None:
    assert keys.id_in(run(apps["migrate"], "cli.keys", "create", "shop").strip())
    task_id = uuid7()
    with engine.begin() as connection:
        failed = (
            "INSERT INTO tasks (id, model, n_inputs, status, error, attempt, submitted_at, started_at, finished_at)"
        )
        values = "(:id, 'text_classifier', 1, 'FAILURE', 'lost', 3, now(), now(), now())"
        connection.execute(text(f"{failed} VALUES {values}"), {"id": task_id})
        inputs = "INSERT INTO task_inputs (task_id, payload) VALUES (:id, :payload)"
        connection.execute(text(inputs), {"id": task_id, "payload": b'[{"text": "a puck"}]'})
    said = run(apps["migrate"], "cli.replay", "--failed", "--since", "1h")
    assert said == "1 task will be scored again within seconds\n"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT status FROM tasks")).scalar_one() == "PENDING"
    assert "0 rows of" in run(apps["migrate"], "cli.redact", "--older-than", "30d")
    assert run(apps["migrate"], "cli.retain") == "0 predictions and 0 tasks deleted\n"
    assert "0 of " in run(apps["migrate"], "cli.drift", "report_scorer")
    person = ("--model", "report_scorer", "--key", "r-1", "--yes")
    assert run(apps["migrate"], "cli.forget", *person).startswith("0 predictions in 0 tasks erased")


@pytest.mark.usefixtures("at")
def test_the_export_runs_on_what_its_image_has(
    apps: dict[str, Path], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("EXPORT_URL", tmp_path.as_uri())
    assert run(apps["export"], "export", "--once") == ""
    assert run(apps["export"], "export.liveness") == "export is alive\n"
