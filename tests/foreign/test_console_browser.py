"""The console in Chromium, with axe: every page in two themes, narrow, by keyboard, and without script."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from cli.explain import explain
from models.image_classifier.examples import EIGHT
from store import keys
from store.keys import Role
from tests.foreign.installed import HERE, run
from tests.running import REPORT, Platform

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
"""Debian's package `chromium`; the packages of npm bring no browser."""

HOSTILE = "\"'><img src=x onerror=alert(1)></title><script>alert(1)</script>"


def chromium() -> str:
    """Return the browser's program; skip where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return CHROMIUM


def explained(database_url: str) -> None:
    done = CliRunner().invoke(
        explain, ["report_scorer"], env={"DATABASE_URL": database_url}, help_option_names=["-h", "--help"]
    )
    assert done.exit_code == 0, done.output


def looked_at(url: str, folder: Path, task: str, image: str, *key: str) -> list[str]:
    """Return what a look at every page has found wrong. The screenshots stay in `folder`."""
    said = run("node", HERE / "console.mjs", url, chromium(), folder, task, image, *key)
    found: list[str] = json.loads(said.splitlines()[-1])["wrong"]
    return found


def test_every_page_is_usable_by_everybody(platform: Platform, tmp_path: Path) -> None:
    shown = {**REPORT, "report_id": HOSTILE[:64]}
    task = platform.submit(shown, *[REPORT] * 100)
    platform.finished(task)
    explained(platform.database_url)
    platform.client.post("/models/text_classifier/submit", json=[{"text": HOSTILE, "document_id": HOSTILE[:64]}])
    image = platform.client.post("/models/image_classifier/submit", json=[{"image": EIGHT}]).json()["task_id"]
    platform.finished(image)
    assert looked_at(platform.url, Path(os.environ.get("SCREENSHOTS") or tmp_path), task, image) == []


def test_so_is_every_page_behind_a_key(closed: Platform, closed_engine: Engine, tmp_path: Path) -> None:
    with closed_engine.begin() as connection:
        key = keys.create(connection, "browser", Role.ADMIN)
    answer = closed.client.post("/submit", json=[REPORT] * 100, headers={"Authorization": f"Bearer {key}"})
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    assert closed.client.get(answer.headers["location"], headers=headers).json()["status"] == "SUCCESS"
    explained(closed.database_url)
    waits = closed.client.post(
        "/models/image_classifier/submit", json=[{"image": EIGHT}], headers={"Authorization": f"Bearer {key}"}
    )
    assert looked_at(closed.url, tmp_path, answer.json()["task_id"], waits.json()["task_id"], key) == []
