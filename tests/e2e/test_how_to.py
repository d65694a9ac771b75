"""The commands of the how-to guides and of the learning loop that need no container run on a platform of `make up`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from devstack.ports import METERED
from tests.documented import Command, commands
from tests.e2e.test_up import BASH, Up, make_up
from tests.faults.stream import DAMAGED
from tests.running import ROOT, eventually, free_ports, temporary_open_folder

GUIDES = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs" / "how-to").glob("*.md"))
PAGES = [*GUIDES, "docs/learning-loop.md"]
RUN = (".venv/bin/millrace", "curl", "printf")
LEFT_OUT = ("models fetch",)  # from the network
TASK = "01a1fbff-6bc2-77a0-9580-9b6d17fbabd4"
CODE = {"ALLOW_MODEL_CODE": "readability"}
KEY = re.compile(r"mr_([0-9a-f]{16})_\S+")

pytestmark = pytest.mark.timeout(600)


@dataclass
class Reader:
    """Somebody who types what the pages say, with the ids and keys that he got."""

    up: Up
    folder: Path
    put_in: dict[str, str]
    key: str = ""

    def types(self, command: Command) -> None:
        text = command.text
        for printed, real in self.put_in.items():
            text = text.replace(printed, real)
        text = re.sub(r"(millrace status)$", r"\1 --once", text)
        text = re.sub(r"(millrace demo)$", r"\1 --reports 300", text)  # 4,000 take a minute
        done = subprocess.run(
            [BASH, "-euc", text],
            cwd=self.folder,
            env={**self.up.environment, "KEY": self.key, "password": "secret", **CODE},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert not re.search(r'"status":[45]\d\d', done.stdout), f"{command}\n{done.stdout}"
        if key := KEY.search(done.stdout):
            self.put_in["5c0f3e9a1b7d2468"], self.key = key[1], key[0]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    checkout = tmp_path_factory.mktemp("checkout")
    for entry in ROOT.iterdir():
        if entry.name != ".venv":
            (checkout / entry.name).symlink_to(entry)
    (checkout / ".venv").symlink_to(Path(sys.executable).parent.parent)
    metrics = free_ports(len(METERED))
    with (
        temporary_open_folder() as folder,
        make_up(folder / "millrace", checkout / "out", METRICS_PORT=str(metrics), **CODE) as up,
    ):
        up.wait_until_ready()
        image = [{"image": DAMAGED, "top_n": 1}]
        task = httpx.post(f"{up.url}/models/image_classifier/submit", json=image).json()["task_id"]
        eventually(lambda: httpx.get(f"{up.url}/task/{task}").json()["status"] == "FAILURE")
        yield Reader(up, checkout, {TASK: task, ":8081": f":{up.port}", ":9641": f":{metrics}"})


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_guide_run(page: str, reader: Reader) -> None:
    for command in commands(page):
        if command.text.startswith(RUN) and not any(words in command.text for words in LEFT_OUT):
            reader.types(command)
