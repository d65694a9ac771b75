"""A scratch folder goes with its process, in whichever way that ends, and with no other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving import scratch
from serving.scratch import LOCK, Scratch

HOLDER = """
import os, sys, time
from pathlib import Path
from serving.scratch import Scratch
held = Scratch(Path(sys.argv[1]))
(held.path / "weights").write_bytes(bytes(1000))
print(held.path, flush=True)
if sys.argv[2] == "fork" and os.fork() == 0:
    sys.exit()
if sys.argv[2] == "end":
    sys.exit()
time.sleep(60)
"""
CHURN = """
import sys
from pathlib import Path
from serving.scratch import Scratch
for _ in range(40):
    with Scratch(Path(sys.argv[1])) as held:
        (held.path / "file").write_text("x")
        assert [one.name for one in held.path.iterdir()] == ["file"]
"""


def holder(folder: Path, how: str = "wait") -> tuple["subprocess.Popen[str]", Path]:
    """Start a process that has a scratch folder there."""
    command = [sys.executable, "-c", HOLDER, str(folder), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        return process, Path(said.readline().strip())


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    (killed, left), (living, kept) = holder(tmp_path), holder(tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "weights").exists()
        scratch.sweep(tmp_path)
        assert not left.exists()
        assert not left.with_suffix(LOCK).exists()
        assert (kept / "weights").exists()
    finally:
        living.kill()
        living.wait()
    with Scratch(tmp_path) as next_one:
        assert {one.name for one in tmp_path.iterdir()} == {next_one.path.name, f"{next_one.path.name}{LOCK}"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["end", "fork"])
def test_it_goes_with_an_orderly_end_but_not_with_that_of_a_fork(tmp_path: Path, how: str) -> None:
    process, path = holder(tmp_path, how)
    if how == "fork":
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert (path / "weights").exists()
        process.kill()
    process.wait()
    assert path.exists() == (how == "fork")


def test_processes_that_make_and_sweep_at_once_take_nothing_of_each_other(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", CHURN, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert not list(tmp_path.iterdir())


def test_a_tree_of_any_kind_is_removed_or_named_and_leads_nowhere_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    within = tmp_path / "within"
    process, left = holder(within)
    process.kill()
    process.wait()
    (left / "link").symlink_to(outside)
    os.mkfifo(left / "pipe")
    deep, further = left, "d" * 200
    os.chdir(deep)
    for _ in range(1_200):  # deeper than Python's recursion
        os.mkdir(further)  # noqa: PTH102 - no path is that long
        os.chdir(further)
    os.chdir(tmp_path)
    scratch.sweep(within)
    assert (outside / "kept").exists()
    with Scratch(within) as made:
        assert made.path.exists(), "what cannot be removed keeps nobody from work"
    subprocess.run(["/bin/rm", "-rf", str(left)], check=True)


def test_a_folder_of_somebody_else_is_refused_and_not_swept(tmp_path: Path) -> None:
    process, left = holder(tmp_path / "shared")
    process.kill()
    process.wait()
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(PermissionError, match="set TMPDIR to a folder of your own"):
        Scratch(tmp_path / "shared")
    scratch.sweep(tmp_path / "shared")
    assert left.exists()
