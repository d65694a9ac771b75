"""A model that is code: allowed by name, run apart from the platform, with packages of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from runtimes import code_host
from serving.scratch import Scratch
from tests.forking import run_command
from tests.processes import descendants
from tests.running import Platform, eventually

MODEL = """
import json, os, sys, time
import six

print("this is no answer")


class Greeter:
    def __init__(self, words):
        self.words = words

    def predict(self, columns):
        for text in columns["a text"]:
            if text == "hang":
                time.sleep(600)
            if text == "die":
                os._exit(3)
            if text == "raise":
                raise ValueError("no such word")
        print("nor is this")
        return {
            "answer": [f"{self.words['hello']} {text}" for text in columns["a text"]],
            "length": [float(len(text) + (times or 0)) for text, times in zip(columns["a text"], columns["times"])],
            "told": ["DATABASE_URL" in os.environ or "REDIS_URL" in os.environ] * len(columns["a text"]),
        }


def load(folder):
    assert six.PY3
    return Greeter(json.loads((folder / "data" / "words.json").read_text()))
"""
TOML = """
name = "greeter"
key = "id"
time_limit = 3
sample = "sample.csv"
[input."a text"]
[input.times]
kind = "bigint"
nullable = true
[output.answer]
kind = "text"
[output.length]
kind = "double"
ge = 0
[output.told]
kind = "boolean"
"""
SIX = "six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n"
CANARY = "canary"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "greeter"
    (made / "data").mkdir(parents=True)
    (made / "data" / "words.json").write_text('{"hello": "Hello"}')
    (made / "model.py").write_text(MODEL)
    (made / "model.toml").write_text(TOML)
    (made / "sample.csv").write_text("a text,times,id\nyou,2,a\neverybody,,b\n")
    (made / "requirements.txt").write_text(SIX)
    return made


@contextmanager
def platform_with(database_url: str, redis_url: str, tmp_path: Path, **settings: str) -> Iterator[Platform]:
    (tmp_path / "logs").mkdir()
    given = {"MODEL_CACHE": str(tmp_path / "cache"), "WORKER_MODELS": "", **settings}
    with Platform(database_url, redis_url, tmp_path / "logs", **given) as platform:
        yield platform


def millrace(database_url: str, cache: Path, *arguments: str, status: int = 0, **settings: str) -> str:
    environment = {**os.environ, "DATABASE_URL": database_url, "MODEL_CACHE": str(cache), **settings}
    ended, said = run_command(["cli.models", *arguments], environment)
    assert ended == status, said
    return said


def score(platform: Platform, *texts: str) -> dict[str, Any]:
    inputs = [{"a text": text, "id": text} for text in texts]
    accepted = eventually(lambda: submitted(platform, inputs))
    task: dict[str, Any] = platform.client.get(f"/task/{accepted}", headers={"Prefer": "wait=50"}).json()
    return task


def submitted(platform: Platform, inputs: list[dict[str, Any]]) -> str | None:
    answer = platform.client.post("/models/greeter/submit", json=inputs)
    return answer.json()["task_id"] if answer.status_code == 202 else None


def test_code_is_served_apart_from_the_platform(
    database_url: str, redis_url: str, tmp_path: Path, folder: Path
) -> None:
    allowed = {"ALLOW_MODEL_CODE": "other, greeter"}
    with platform_with(database_url, redis_url, tmp_path, **allowed) as platform:
        said = millrace(database_url, tmp_path / "cache", "add", str(folder), **allowed)
        assert "code: the operator allows it by its name" in said
        assert "greeter version 1 is a candidate" in said
        millrace(database_url, tmp_path / "cache", "promote", "greeter")
        task = score(platform, "you", "all")
        assert (task["answer"], task["length"], task["told"]) == (
            ["Hello you", "Hello all"],
            [3.0, 3.0],
            [False, False],
        )
        assert task["id"] == ["you", "all"]

        failed = score(platform, "raise")
        assert failed["status"] == "FAILURE"
        assert "no such word" in failed["error"]
        assert score(platform, "die")["status"] == "FAILURE"
        late = score(platform, "hang")
        assert late["status"] == "FAILURE"
        assert "3 s" in late["error"]
        assert score(platform, "again")["answer"] == ["Hello again"]


def test_code_runs_nowhere_unless_it_is_allowed_there(
    database_url: str, redis_url: str, tmp_path: Path, folder: Path
) -> None:
    canary = tmp_path / CANARY
    (folder / "model.py").write_text(f"open({str(canary)!r}, 'w')\n{MODEL}")
    cache = tmp_path / "cache"
    assert "code: the operator allows it" in millrace(
        database_url, cache, "inspect", str(folder), ALLOW_MODEL_CODE="greeter"
    )
    refused = millrace(database_url, cache, "add", str(folder), status=1, ALLOW_MODEL_CODE="greet")
    assert "set ALLOW_MODEL_CODE=greeter" in refused
    assert not canary.exists()
    millrace(database_url, cache, "add", str(folder), ALLOW_MODEL_CODE="greeter")
    canary.unlink()
    with platform_with(database_url, redis_url, tmp_path) as platform:
        millrace(database_url, cache, "promote", "greeter")
        models = eventually(lambda: {m["name"]: m for m in platform.client.get("/models").json()}.get("greeter"))
        assert "ALLOW_MODEL_CODE=greeter" in models["unloaded"]
        waiting = eventually(lambda: submitted(platform, [{"a text": "you"}]))
        assert platform.client.get(f"/task/{waiting}", headers={"Prefer": "wait=3"}).json()["status"] == "PENDING"
    assert not canary.exists()


class Container:
    """The host as a container would run it: on a socket, without anything of the platform's."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.sockets = sockets
        self._command = [sys.executable, "-I", code_host.__file__, str(folder), str(sockets / "greeter.sock")]
        self.start()

    def start(self) -> None:
        self._host = subprocess.Popen(self._command, env={})
        eventually((self.sockets / "greeter.sock").exists)

    @property
    def conversations(self) -> int:
        return len(descendants(self._host.pid))

    def stop(self) -> None:
        if self._host.poll() is None:
            for process in descendants(self._host.pid):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._host.kill()
        self._host.wait()
        (self.sockets / "greeter.sock").unlink(missing_ok=True)


@pytest.fixture
def container(folder: Path, tmp_path: Path) -> Iterator[Container]:
    (folder / "model.py").write_text(MODEL.replace("import six\n", "").replace("assert six.PY3", "pass"))
    (folder / "requirements.txt").unlink()
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    running = Container(folder, sockets)
    yield running
    running.stop()


def test_code_in_a_container_is_asked_by_its_socket_and_must_be_that_version(
    database_url: str, redis_url: str, tmp_path: Path, folder: Path, container: Container
) -> None:
    settings = {"ALLOW_MODEL_CODE": "greeter", "CODE_MODEL_SOCKETS": str(container.sockets)}
    with platform_with(database_url, redis_url, tmp_path, **settings) as platform:
        millrace(database_url, tmp_path / "cache", "add", str(folder), **settings)
        millrace(database_url, tmp_path / "cache", "promote", "greeter")
        assert score(platform, "you")["answer"] == ["Hello you"]
        assert score(platform, "hang")["status"] == "FAILURE"
        assert score(platform, "you")["answer"] == ["Hello you"]
        eventually(lambda: container.conversations == 1)  # that of the prediction which was given up has ended
        (folder / "data" / "words.json").write_text('{"hello": "Bye"}')
        millrace(database_url, tmp_path / "cache", "add", str(folder), **settings)
        (folder / "data" / "words.json").write_text('{"hello": "Hello"}')  # as if the image were the old one
        promoted = millrace(database_url, tmp_path / "cache", "promote", "greeter")
        assert "another data/words.json than this version" in promoted
        assert score(platform, "you")["answer"] == ["Hello you"], "the old version stays at work"


def test_tasks_wait_while_a_container_is_away_and_a_version_is_loaded_when_it_comes(
    database_url: str, redis_url: str, tmp_path: Path, folder: Path, container: Container
) -> None:
    settings = {"ALLOW_MODEL_CODE": "greeter", "CODE_MODEL_SOCKETS": str(container.sockets)}
    quick = {"RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2"}
    with platform_with(database_url, redis_url, tmp_path, **settings, **quick) as platform:
        millrace(database_url, tmp_path / "cache", "add", str(folder), **settings)
        container.stop()
        millrace(database_url, tmp_path / "cache", "promote", "greeter")
        early = eventually(lambda: submitted(platform, [{"a text": "you"}]))
        container.start()
        task = platform.client.get(f"/task/{early}", headers={"Prefer": "wait=55"}).json()
        assert task["status"] == "SUCCESS", task
        container.stop()
        waiting = [submitted(platform, [{"a text": f"you {number}"}]) for number in range(5)]
        platform.client.get(f"/task/{waiting[0]}", headers={"Prefer": "wait=4"})
        # It is STARTED for a moment whenever a worker finds that the container is away, and never ends by that.
        eventually(lambda: platform.client.get(f"/task/{waiting[0]}").json()["status"] == "PENDING")
        container.start()
        for task_id in waiting:
            task = platform.client.get(f"/task/{task_id}", headers={"Prefer": "wait=55"}).json()
            assert task["status"] == "SUCCESS", task


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model.toml": 'name = "greeter"\n[input.x]\nkind = "text"\n'}, "say what predict returns"),
        ({"model.toml": 'name = "greeter"\n[output.y]\nkind = "text"\n'}, "say what predict takes"),
        ({"model.toml": TOML.replace('kind = "text"', "")}, "has no kind"),
        ({"model.toml": TOML.replace('"text"', '"words"')}, "has the kind 'words'"),
        ({"golden.jsonl": ""}, "the platform makes a file of this name"),
        ({"requirements.txt": "six==1.16.0\n"}, "hashes"),
        ({"requirements.txt": SIX.replace("8abb", "8abc")}, "ERROR"),
        ({"requirements.txt": f"--no-binary :all:\n{SIX}"}, "has the option"),
        ({"model.toml": TOML.replace('kind = "double"', 'kind = "bytes"')}, "cannot be of kind bytes"),
        ({"model.py": "import nothing_of_this_name\n"}, "No module named 'nothing_of_this_name'"),
        ({"model.py": "raise SystemExit\n"}, "SystemExit"),
        ({"model.py": "import os\nos._exit(1)\n"}, "its process ended"),
        ({"model.py": MODEL.replace('"length"', '"width"')}, "returned no 'length'"),
        ({"model.py": MODEL.replace('* len(columns["a text"])', "* 7")}, "7 values of 'told' for 2 rows"),
    ],
)
def test_a_folder_that_cannot_be_served_is_refused_with_the_remedy(
    database_url: str, tmp_path: Path, folder: Path, change: dict[str, str], words: str
) -> None:
    for name, content in change.items():
        (folder / name).write_text(content)
    said = millrace(database_url, tmp_path / "cache", "add", str(folder), status=1, ALLOW_MODEL_CODE="greeter")
    assert words in said
    assert "Traceback" not in said.replace("Traceback (most recent call last)", "", said.count('model.py"'))


def test_the_host_needs_nothing_but_the_standard_library(folder: Path) -> None:
    (folder / "model.py").write_text(
        "def load(folder):\n    pass\ndef predict(columns):\n    return {'y': columns['x']}\n"
    )
    frames = [{"kinds": {"x": "bytes"}}, {"columns": {"x": ["QQ==", None]}}]
    given = b"".join(len(body).to_bytes(4, "big") + body for body in (json.dumps(one).encode() for one in frames))
    host = [sys.executable, "-I", "-S", code_host.__file__, str(folder)]
    done = subprocess.run(host, input=given, capture_output=True, check=True, env={})
    size = int.from_bytes(done.stdout[:4], "big")
    assert "model.py" in json.loads(done.stdout[4 : 4 + size])["sha256"]
    assert json.loads(done.stdout[8 + size :]) == {"outputs": {"y": ["QQ==", None]}}


def test_what_a_killed_workers_code_had_written_goes_when_the_next_worker_starts(
    database_url: str, redis_url: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    (folder / "requirements.txt").unlink()
    source = MODEL.replace("import six\n", "").replace("assert six.PY3", 'open("dump", "w").write("x" * 2**20)')
    (folder / "model.py").write_text(source)
    settings = {"ALLOW_MODEL_CODE": "greeter", "TMPDIR": str(tmp_path)}
    scratch = tmp_path / f"millrace-code-{os.getuid()}"
    with platform_with(database_url, redis_url, tmp_path, **settings) as platform:
        millrace(database_url, tmp_path / "cache", "add", str(folder), **settings)
        millrace(database_url, tmp_path / "cache", "promote", "greeter")
        assert score(platform, "you")["answer"] == ["Hello you"]
        with Scratch(scratch) as of_another:
            for killed in range(3):
                left = {file.parent for file in scratch.glob("*/dump")}
                assert len(left) in (1, 2), f"after {killed} kills"  # a test of the version may have left one
                platform.worker.stop(signal.SIGKILL)
                assert any(place.exists() for place in left)
                platform.worker = platform.start_worker()
                assert score(platform, f"you {killed}")["status"] == "SUCCESS"
                assert not any(place.exists() for place in left)
            assert of_another.path.exists(), "its process lives"
