"""One stack of containers a run, for everything that is marked `compose`."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stack import Stack


def _engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0  # noqa: S607


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with _running(request, Stack(tmp_path_factory.mktemp("compose"))) as stack:
        yield stack


@pytest.fixture(scope="session")
def pool_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("compose-pool")
    with _running(request, Stack(folder, "docker-compose.pool.yml", "millrace-test-pool")) as stack:
        yield stack


@contextmanager
def _running(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Stack]:
    if "compose" not in request.config.option.markexpr:
        pytest.skip("builds images and takes minutes: make test-compose")
    if not _engine_answers():
        pytest.skip("no Docker engine answers `docker info`")
    failures, started = request.session.testsfailed, False
    stack.compose("down", "--volumes", "--remove-orphans")  # what a killed run has left
    try:
        stack.up("--build")
        started = True
        yield stack
    finally:
        if not started or request.session.testsfailed > failures:
            print(stack.compose("ps", "--all"), stack.compose("logs", "--no-color", "--tail=60"))
        stack.down()
