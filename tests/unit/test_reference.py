"""The reference pages that follow from the code are those that it gives today."""

import pytest

from docs.generate import NOTICE, REFERENCE
from docs.generate.__main__ import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    stored = (REFERENCE / f"{name}.md").read_text(encoding="utf-8")
    assert stored == NOTICE + PAGES[name](), "run: python -m docs.generate"
