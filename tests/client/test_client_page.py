"""The page of the Python client: its code runs, in its order, and prints what the page says."""

import os
from pathlib import Path

from tests.notebook import cells, run
from tests.running import ROOT, Platform

PAGE = "docs/how-to/client.md"


def test_the_page_does_what_it_says(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "docs").symlink_to(ROOT / "docs")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "client"),
        "MILLRACE_URL": platform.url,
        "HOME": str(tmp_path),
    }
    printed = run(PAGE, folder, environment)
    assert printed == [cell.shown for cell in cells(PAGE)]
    assert len((folder / "scored.csv").read_text().splitlines()) == 41
