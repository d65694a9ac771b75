"""The logs of `millrace up`: bounded while a program writes, and read from where its present run begins."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack import log_file
from devstack.log_file import LogFile
from tests.running import eventually


def test_a_log_stays_bounded_while_a_program_goes_on_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MAX_BYTES", 10_000)
    log = LogFile(tmp_path / "program.log")
    writes = "import time\nfor n in range(10**9):\n    print(f'line {n}', flush=True); time.sleep(.0001)"
    with log.open() as output, subprocess.Popen([sys.executable, "-c", writes], stdout=output) as program:

        def rotated_twice() -> bool:
            log.rotate()
            return (tmp_path / "program.log.2").exists()

        eventually(rotated_twice, within=60)
        for _ in range(50):
            log.rotate()
            time.sleep(0.01)
        names = sorted(path.name for path in tmp_path.iterdir())
        program.kill()
    assert names == ["program.log", "program.log.1", "program.log.2"]
    assert b"\0" not in log.path.read_bytes()  # a writer that does not append would leave a hole
    older, newer = ((tmp_path / f"program.log.{number}").read_text().splitlines() for number in (2, 1))
    assert int(older[-2].split()[1]) < int(newer[1].split()[1])
    assert "line" in log.last_lines()


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no model"],
            "ValueError: no model",
        ),
        (["x FATAL:  no space left", "x LOG:  database system is shut down"], "x FATAL:  no space left"),
        (
            ["E: refused", "\tIs it running?", "(Background on this error at: https://x)"],
            "E: refused",
        ),
        ([], "its log says nothing"),
    ],
)
def test_the_cause_is_a_line_of_the_present_run(tmp_path: Path, lines: list[str], cause: str) -> None:
    log = LogFile(tmp_path / "program.log")
    with log.open() as output:
        output.write(b"FATAL: of an earlier run\n")
    with log.open() as output:
        output.write("".join(f"{line}\n" for line in lines).encode())
    assert log.cause() == cause
    assert "earlier" not in log.last_lines()
