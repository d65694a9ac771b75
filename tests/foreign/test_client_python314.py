"""The client is tested on Python 3.11; here it does on CPython 3.14, which Pyodide brings, what needs no server."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.foreign.installed import HERE, run
from tests.running import ROOT

SCRIPT = HERE / "client_anywhere.py"
COMMANDS = ("[OPTIONS]", "submit", "task", "tasks", "jobs", "outcomes")
PARTS = ['report_id;note\r\n00001;"a; b\nc"\r\n', "report_id;note\r\n00002;é\r\n"]


def needed(name: str, markers: dict[str, str]) -> set[str]:
    """Return what a distribution needs to run, itself included and extras left out."""
    found = {name}
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "", **markers}):
            found |= needed(requirement.name, markers)
    return found


def copied(name: str, folder: Path) -> None:
    for file in distribution(name).files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), folder / file)


def test_the_client_does_the_same_on_the_newest_python(tmp_path: Path) -> None:
    libraries = needed("millrace-client", {"python_version": "3.14", "python_full_version": "3.14.2"})
    for name in libraries - {"millrace-client"}:
        copied(name, tmp_path)
    here = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True).stdout
    there = run("node", HERE / "python314.mjs", SCRIPT, ROOT / "client", tmp_path)
    expected, found = json.loads(here), json.loads(there.splitlines()[-1])
    assert found.pop("python") == [3, 14]
    assert expected.pop("python") == list(sys.version_info[:2])
    # Not compared: the server, which is installed here, has plugged commands of its own in.
    assert [said.split()[:3] for said in found["help"]] == [["Usage:", "millrace", one] for one in COMMANDS]
    assert found["modules"] == expected["modules"]
    assert found["webhook"] == expected["webhook"] == {"status": "SUCCESS"}
    assert found["parts"] == expected["parts"] == PARTS
