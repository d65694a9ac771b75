"""The commands that the documentation has people type."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.running import ROOT

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
SEPARATORS = {"&&", "||", "|", ";", "&"}
REDIRECTIONS = {">", "<", ">>"}


@dataclass(frozen=True)
class Command:
    page: str
    text: str
    """As it stands on the page, over several lines perhaps."""

    @property
    def parts(self) -> list[list[str]]:
        """The words of each program of the line, without redirections and assignments."""
        lexer = shlex.shlex(self.text.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        parts: list[list[str]] = [[]]
        words = iter(lexer)
        for word in words:
            if word in SEPARATORS:
                parts.append([])
            elif word in REDIRECTIONS:
                next(words)
            elif parts[-1] or not re.match(r"[A-Z_]+=", word):
                parts[-1].append(word)
        return [part for part in parts if part]


def pages() -> list[str]:
    git = ["git", "ls-files", "-z", "*.md"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the content of each fenced block."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(page: str) -> Iterator[Command]:
    """Yield what stands in the blocks of shell, a command at a time."""
    for language, block in blocks(page):
        pending = ""
        for line in block.splitlines() if language == "sh" else ():
            pending += line + "\n"
            if _is_whole(pending):
                if pending.strip() and not pending.strip().startswith("#"):
                    yield Command(page, pending.strip())
                pending = ""
        assert not pending, f"{page}: {pending}"


def _is_whole(text: str) -> bool:
    if text.endswith("\\\n"):
        return False
    try:
        shlex.split(text, comments=True)
    except ValueError:  # a quotation that goes on
        return False
    return True
