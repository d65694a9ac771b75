"""What other people wrote, against the real platform: everything here is marked `foreign` and runs when asked for."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is in this folder, and leave it out unless `-m foreign` asks for it (make test-foreign)."""
    foreign = [item for item in items if HERE in item.path.parents]
    for item in foreign:
        item.add_marker("foreign")
    if "foreign" not in config.option.markexpr:
        config.hook.pytest_deselected(items=foreign)
        items[:] = [item for item in items if item not in foreign]
