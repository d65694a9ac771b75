"""`python -m registry.inspection.child`: parses and tries a model file where a crash, or its appetite, harms nobody.

It reads one order from its standard input and writes one answer, both JSON: nothing of the file comes back as a
program. `ask` starts it.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec

from registry.inspection.proposal import ModelRefused

MEMORY = 4 * 2**30
"""Bytes of address space beside twenty times the file's, and four times those of tensors beside it.

A library takes some gigabytes of it without using them."""

PROGRAM = "registry.inspection.child"

SECONDS = 120
"""Of processor time; half as much again by the clock."""


class ChildOrder(msgspec.Struct):
    """Describe `file`; with a `manifest`, load it and predict the columns."""

    runtime: str
    file: str
    manifest: dict[str, Any] | None = None
    columns: dict[str, list[Any]] = {}
    beside: int = 0
    """Bytes of the files that hold the model's tensors, if it has any."""


class Reply(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    refused: str = ""


def ask(order: ChildOrder) -> bytes:
    """Let a child do it, and return the JSON of what it found. Raises ModelRefused."""
    name = Path(order.file).name
    limit = MEMORY + 20 * Path(order.file).stat().st_size + 4 * order.beside
    with TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM, str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=_environment(),
        )
        try:
            written, _ = process.communicate(msgspec.json.encode(order), timeout=1.5 * SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise ModelRefused(
                f"{name}: reading it took longer than {SECONDS} s; the file is damaged, or too large"
            ) from None
    if process.returncode != 0 or not written:
        raise ModelRefused(
            f"{name}: the library ended while it read the file (status {process.returncode}): the file is damaged, "
            f"needs more than {limit // 2**30} GiB of memory, or was made to break it; save the model again"
        )
    answer = msgspec.json.decode(written, type=Reply)
    if answer.refused:
        raise ModelRefused(f"{name}: {answer.refused}")
    return bytes(answer.result)


def _environment() -> dict[str, str]:
    """Return what a library needs to start: no address and no password."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "HOME")
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {name: os.environ[name] for name in kept if name in os.environ} | threads


def _do(order: ChildOrder) -> Any:
    import numpy as np

    import runtimes
    from serving.artifact import Artifact

    if order.manifest is None:
        return runtimes.describe(order.runtime, Path(order.file))
    predicted = runtimes.load(Artifact(Path(order.file).parent, order.manifest)).predict(order.columns)
    return {
        name: values.tolist() if isinstance(values, np.ndarray) else list(values) for name, values in predicted.items()
    }


def main(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ChildOrder)
    try:
        answer = Reply(msgspec.Raw(msgspec.json.encode(_do(order))))
    except ImportError as error:
        answer = Reply(
            refused=f"reading it needs {error.name or error}; install requirements/worker-{order.runtime}.txt"
        )
    except Exception as error:  # each library has its own for a file that it cannot read
        answer = Reply(refused=_in_one_line(order.runtime, error))
    with os.fdopen(answers, "wb") as out:
        out.write(msgspec.json.encode(answer))
    os._exit(0)


def _in_one_line(runtime: str, error: Exception) -> str:
    from runtimes.description import NotSupported

    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, NotSupported):
        return words
    shown = words if len(words) <= 200 else f"{words[:200]} …"
    return f"{runtime} cannot read it; the file is damaged or of another format: save the model again ({shown})"


if __name__ == "__main__":
    main(int(sys.argv[1]))
