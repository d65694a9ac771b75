"""A site to break, and which of the tests run when nobody asked for faults by name."""

from collections.abc import Iterator

import pytest

from tests.faults.evidence import keep_logs
from tests.faults.report import FOLDER
from tests.faults.site import Site
from tests.running import temporary_open_folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests unless `-m faults` asks for them (make test-faults)."""
    if "faults" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("faults")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    yield from running_site()


@pytest.fixture(scope="module")
def pooled_site() -> Iterator[Site]:
    """Two containers of ENGINE=pool on one PostgreSQL."""
    yield from running_site(ENGINE="pool")


def running_site(**settings: str) -> Iterator[Site]:
    with temporary_open_folder() as folder:
        try:
            with Site(folder, **settings) as site:
                yield site
        finally:
            keep_logs(folder, FOLDER / "logs")
