"""docs/explanation/security.md has OWASP's ten, and a test that exists in every line of its table."""

import ast
import re
from pathlib import Path

import pytest

from tests.running import ROOT

PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("| threat |") : PAGE.index("## Messages")]
LINES = [line for line in TABLE.splitlines()[2:] if line.startswith("|")]
NAMED = re.compile(r"`((?:unit|integration|attacks|e2e)/\w+\.py)(?:::(test_\w+))?`")


def sentences(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        one.name
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        if one.name.startswith("test_")
    }


def test_all_of_owasps_ten_are_in_the_table() -> None:

    assert {int(number) for number in re.findall(r"^\| API(\d+) ", TABLE, re.M)} == set(range(1, 11))


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[2:40])
def test_every_threat_has_a_defence_and_tests_that_exist(line: str) -> None:
    threat, defence, tests = (cell.strip() for cell in line.strip("|").split("|"))
    assert threat
    assert defence
    named = NAMED.findall(tests)
    assert len(named) == tests.count("`") // 2 > 0
    for file, name in named:
        found = sentences(ROOT / "tests" / file)
        assert found
        assert not name or name in found, f"{file} has no {name}"


def test_every_package_is_pinned_by_its_hash() -> None:
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert len(files) >= 5
    for file in files:
        pinned = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==\S+.*?(?=^\S|\Z)", file.read_text("utf-8"), re.S | re.M)
        assert pinned
        for package in pinned:
            assert "--hash=sha256:" in package, f"{file.name}: {package.splitlines()[0]}"
        assert not re.search(r"https?://(?!.*# )", "\n".join(re.findall(r"^[^#\s].*$", file.read_text("utf-8"), re.M)))


def test_whatever_installs_them_asks_for_the_hashes() -> None:
    by_hand = re.findall(r"pip install (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert by_hand
    assert all("--require-hashes" in line or "--no-deps" in line for line in by_hand)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "PIP_REQUIRE_HASHES=1" in dockerfile
    assert "pip install" not in dockerfile  # but by deploy/docker/install, in the stage that says so
