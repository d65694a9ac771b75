"""Every command of the documentation exists: its program, subcommand, options, services, paths and files.

tests/e2e/test_how_to.py runs what can run on any machine, tests/e2e/test_up.py the README and the tutorials.
"""

import importlib.util
import re
from collections.abc import Callable
from itertools import pairwise

import click
import pytest
import yaml
from millrace_client.cli.main import main

from docs.generate.document import document
from tests.documented import Command, blocks, commands, pages
from tests.running import ROOT

LANGUAGES = {"sh", "text", "toml", "json", "yaml", "python", "sql", "markdown"}
COMMANDS = [command for page in pages() for command in commands(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
TAKES_VALUE = {"-f", "-v", "--format", "--profile", "--file"}
MANIFESTS = "\n".join(
    file.read_text(encoding="utf-8") for file in (ROOT / "deploy" / "kubernetes" / "base").rglob("*.yaml")
)
OF_THE_SYSTEM = {"cat", "docker", "export", "gcloud", "git", "grep", "kind", "pip", "printf", "sha256sum", "tar"}


@pytest.mark.parametrize("page", pages())
def test_every_block_says_what_it_is(page: str) -> None:
    assert {language for language, _ in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.text[:60]}")
def test_the_command_exists(command: Command) -> None:
    if command.text.startswith("for "):
        return
    for program, *words in command.parts:
        assert program in CHECKS or program in OF_THE_SYSTEM, program
        if program in CHECKS:
            CHECKS[program](words)


def _make(words: list[str]) -> None:
    for target in (word for word in words if "=" not in word):
        file = ROOT / "requirements" / f"{target.removeprefix('.venv/')}.txt"
        assert target in TARGETS or (target.startswith(".venv/") and file.is_file()), target


def _millrace(words: list[str], command: click.Command = main) -> None:
    context = click.Context(command, **command.context_settings)
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(context, words[0])
        assert below, words
        _millrace(words[1:], below)
    elif words != ["--help"]:
        command.make_parser(context).parse_args(list(words))


def _python(words: list[str]) -> None:
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file(), words[0]
    elif words[1].startswith("cli."):
        command = getattr(importlib.import_module(words[1]), words[1].rpartition(".")[2], None)
        if isinstance(command, click.Command):
            _millrace(words[2:], command)
    else:
        assert importlib.util.find_spec(words[1]), words[1]


def _compose(words: list[str]) -> None:
    plain: list[str] = []
    given = iter(words)
    for word in given:
        if word in TAKES_VALUE:
            value = next(given)
            assert word != "-f" or (ROOT / value).is_file(), value
        elif not word.startswith("-") or (plain[:1] in (["exec"], ["run"]) and len(plain) > 1):
            plain.append(word)
    action, *services = plain
    assert action in {"build", "config", "down", "exec", "logs", "ps", "restart", "run", "stop", "up"}, action
    if action in ("exec", "run"):
        rest, services = services[1:], services[:1]
        if rest[:1] == ["python"]:
            _python(rest[1:])
        if rest[:1] == ["millrace"]:
            _millrace(rest[1:])
    assert set(services) <= COMPOSE.keys(), services


def _kubectl(words: list[str]) -> None:
    for option, path in pairwise(words):
        if option in ("-k", "-f"):
            assert (ROOT / path).exists(), path
        if option in ("deployment", "job") and not path.startswith("-"):
            assert f"name: {path}" in MANIFESTS, path
    for word in words:
        if found := re.fullmatch(r"(?:deployment|service|job)/(.+)", word):
            assert f"name: {found[1]}" in MANIFESTS, word
    if "--" in words and words[words.index("--") + 1] == "python":
        _python(words[words.index("--") + 2 :])


def _curl(words: list[str]) -> None:
    (address,) = (word for word in words if "127.0.0.1" in word)
    path = re.sub(r"^(http://)?127\.0\.0\.1:\d+|\?.*$", "", address)
    if path == "/metrics":
        return
    known = [re.sub(r"\{\w+\}", "[^/]+", path) for path in document()["paths"]]
    assert any(re.fullmatch(one, path) for one in [*known, "/models/(iris|ranker|readability)/submit"]), path


def _files(words: list[str]) -> None:
    for word in words:
        assert not re.match(r"(tests|docs|requirements)/", word) or (ROOT / word).exists(), word


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _make,
    ".venv/bin/millrace": _millrace,
    ".venv/bin/python": _python,
    ".venv/bin/alembic": _files,
    ".venv/bin/pip": _files,
    ".venv/bin/pytest": _files,
    "docker-compose": _compose,
    "kubectl": _kubectl,
    "curl": _curl,
    "sh": _files,
}
