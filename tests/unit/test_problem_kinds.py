"""One table has every kind of problem, and nothing else in handler/ knows the HTTP status of an error."""

import ast
import re
from collections.abc import Iterator

from handler.problems import ProblemKind
from tests.running import ROOT

TABLE = ROOT / "handler" / "problems.py"
RAISING = {"RequestRefused", "_refused", "problem"}
"""What makes a problem of a kind; `problem` does it where no exception can be raised."""


def nodes() -> Iterator[tuple[str, ast.AST]]:
    files = [file for file in (ROOT / "handler").rglob("*.py") if file != TABLE]
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def is_status(value: object) -> bool:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return bool(re.fullmatch(r"(HTTP/1\.[01] )?[45][0-9][0-9]( .*)?", text)) and not isinstance(value, float)


def named(node: ast.AST) -> str | None:
    """Return the kind that `ProblemKind.NAME` names."""
    is_kind = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ProblemKind"
    return node.attr if is_kind and isinstance(node, ast.Attribute) else None


def test_no_status_of_an_error_is_written_beside_the_table() -> None:
    assert [place for place, node in nodes() if isinstance(node, ast.Constant) and is_status(node.value)] == []
    assert is_status(404)
    assert is_status("503")
    assert is_status(b"HTTP/1.1 400 Bad Request")


def test_every_kind_in_the_table_is_raised_and_every_raised_kind_is_in_the_table() -> None:
    raised = set()
    for _, node in nodes():
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in RAISING and node.args:
            raised.add(named(node.args[0]))
    assert raised - {None} == set(ProblemKind.__members__)


def test_every_kind_says_its_cause_and_its_remedy() -> None:
    assert len({kind.slug for kind in ProblemKind}) == len({kind.title for kind in ProblemKind}) == len(ProblemKind)
    assert [kind.status for kind in ProblemKind] == sorted(kind.status for kind in ProblemKind)
    for kind in ProblemKind:
        assert kind.title[0].isupper()
        assert not kind.title.endswith(".")
        assert kind.cause.endswith("."), kind
        assert kind.remedy.endswith("."), kind
