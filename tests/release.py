"""The release before this one, as code to run."""

import subprocess
from pathlib import Path

from tests.running import ROOT

RELEASE = "f017b68"  # 0.1.0


class NoHistory(Exception):
    """This checkout has no such commit (a shallow clone?)."""


def unpack(folder: Path) -> Path:
    """Put the release's code into the folder. Raises NoHistory."""
    archive = subprocess.run(["git", "archive", RELEASE], cwd=ROOT, capture_output=True, check=False)  # noqa: S607
    if archive.returncode:
        raise NoHistory(f"{RELEASE}: {archive.stderr.decode().strip()}")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)  # noqa: S607
    return folder
