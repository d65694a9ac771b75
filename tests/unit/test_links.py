"""Every link in the documentation, and every page that the code names, leads to a file and a heading that exist."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.running import ROOT

LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
NAMED = re.compile(r"(?<![\w/.-])((?:docs|deploy)/[\w./-]+\.md)(#[\w-]+)?")


def tracked(*patterns: str) -> list[str]:
    git = ["git", "ls-files", "-z", *patterns]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


PAGES = tracked("*.md")


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub and the site make them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    found = set(re.findall(r'<a (?:id|name)="([\w-]+)"', text))
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        words = re.sub(r"\]\([^)]*\)", "", heading)
        anchor = re.sub(r"[^\w\- ]", "", words).strip().lower().replace(" ", "-")
        number = seen.get(anchor, 0)
        seen[anchor] = number + 1
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link}"
        assert not anchor or anchor in anchors(target), f"{name}: {link}"


@pytest.mark.parametrize("name", [name for name in tracked() if not name.endswith((".md", ".svg", ".onnx", ".pt"))])
def test_every_page_that_the_code_names_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
    for path, anchor in NAMED.findall(text):
        assert (ROOT / path).is_file(), f"{name} names {path}"
        assert not anchor or anchor[1:] in anchors(ROOT / path), f"{name} names {path}{anchor}"


def test_every_event_of_the_log_that_a_guide_names_is_logged() -> None:
    sources = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in tracked("*.py", "*.yml", "*.sql"))
    for name in ("docs/how-to/alerts.md", "docs/how-to/monitor.md"):
        for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", FENCED.sub("", (ROOT / name).read_text(encoding="utf-8"))):
            assert f'"{word}"' in sources, f"{name} names {word}"


def test_every_file_that_a_page_names_is_there() -> None:
    tests = {Path(name).name for name in tracked("tests")}
    places = re.compile(r"`((?:[a-z_]+/)[\w./-]+\.(?:py|yml|yaml|conf|acl|sql|env|ini))(?:::\w+)?`")
    for name in PAGES:
        if name in ("CHANGELOG.md", "docs/tutorials/model-in-the-repository.md"):
            continue  # they name files that were, and files to be made
        text = FENCED.sub("", (ROOT / name).read_text(encoding="utf-8"))
        for place in places.findall(text):
            found = [ROOT / place, ROOT / name / ".." / place, ROOT / "tests" / place]
            assert any(path.resolve().exists() for path in found), f"{name} names {place}"
        for test in re.findall(r"`(test_\w+\.py)(?:::\w+)?`", text):
            assert test in tests, f"{name} names {test}"


def test_no_page_or_message_has_somebody_switch_versions_by_the_file_current() -> None:
    """`registry/builtin.py` adds what it names as a candidate; `tests/integration/test_registry.py` shows that."""
    wrong = re.compile(r"at their next start|write (?:\S+ ){1,6}into `(?:artifact/)?CURRENT|is now the current version")
    for name in tracked("*.md", "models/*.py", "cli/*.py", "serving/*.py", "registry/*.py"):
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        assert not wrong.search(text), f"{name}: {wrong.search(text)}"
    for model in ("report_scorer", "image_classifier", "text_classifier", "translator"):
        page = (ROOT / "models" / model / "README.md").read_text(encoding="utf-8")
        assert f"millrace models promote {model}" in page, model
        assert f"millrace models rollback {model}" in page, model
