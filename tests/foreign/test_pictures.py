"""The pictures of the README: the console in Chromium, filled by the demo. SCREENSHOTS names the folder for them."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread

from click.testing import CliRunner
from PIL import Image

from demo.command import demo
from tests.foreign.installed import HERE, run
from tests.foreign.test_console_browser import chromium, explained
from tests.running import Platform

PICTURES = ("console", "desk", "task")
COLOURS = 128
MOST = 150_000
"""Bytes of a picture."""


def test_the_pictures_of_the_readme_are_made(platform: Platform, tmp_path: Path) -> None:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path).resolve()
    runner = CliRunner(env={"DATABASE_URL": platform.database_url})
    filled = runner.invoke(demo, ["--url", platform.url, "--reports", "2000"], catch_exceptions=False)
    assert filled.exit_code == 0, filled.output
    explained(platform.database_url)
    listed = platform.client.get("/tasks", params={"status": "SUCCESS", "model": "report_scorer"}).json()["tasks"]
    of_some = next(one["task_id"] for one in listed if one["n_inputs"] > 5)
    with texts(platform):
        run("node", HERE / "pictures.mjs", platform.url, chromium(), folder, of_some)
    for name in PICTURES:
        file = folder / f"{name}.png"
        with Image.open(file) as made:
            made.convert("RGB").quantize(COLOURS).save(file, optimize=True)
        assert file.stat().st_size < MOST


@contextmanager
def texts(platform: Platform) -> Iterator[None]:
    """Submit texts meanwhile, now more and now less."""
    over = Event()

    def submit() -> None:
        for number in count():
            if over.wait(0.2):
                return
            batch = [{"text": f"the game had {number} goals"}] * round(600 + 500 * math.sin(number / 9))
            platform.client.post("/models/text_classifier/submit", json=batch).raise_for_status()

    beside = Thread(target=submit)
    beside.start()
    try:
        yield
    finally:
        over.set()
        beside.join()
