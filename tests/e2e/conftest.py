"""One stack of containers a run, for everything that is marked `compose`."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.stack import Stack


def _engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0  # noqa: S607


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if "compose" not in request.config.option.markexpr:
        pytest.skip("builds images and takes minutes: make test-compose")
    if not _engine_answers():
        pytest.skip("no Docker engine answers `docker info`")
    failures, started = request.session.testsfailed, False
    stack = Stack(tmp_path_factory.mktemp("compose"))
    stack.compose("down", "--volumes", "--remove-orphans")  # what a killed run has left
    try:
        stack.up("--build")
        started = True
        yield stack
    finally:
        if not started or request.session.testsfailed > failures:
            print(stack.compose("ps", "--all"), stack.compose("logs", "--no-color", "--tail=60"))
        stack.down()
