"""The reference of the states of a task and the transitions between them."""

import ast
import inspect
from itertools import pairwise

from docs.generate import row, table
from store import transitions
from store.states import FINAL, Status, Transition

INTRODUCTION = """# States of a task

![The states of a task](../images/states.svg)

A final state never changes, but for a FAILURE that is replayed.

"""
TRANSITIONS = """
## Transitions

Only `store/transitions.py` changes a task's state.

"""


def page() -> str:
    """Return the page: the states, then the transitions in the order of `store/transitions.py`."""
    states = (row(state, "yes" if state in FINAL else "", about) for state, about in meanings().items())
    changes = (row(name, one.by, ", ".join(one.source), one.target) for name, one in named().items())
    first, second = table("state", "final", ""), table("transition", "made by", "from", "to")
    return INTRODUCTION + first + "".join(states) + TRANSITIONS + second + "".join(changes)


def named() -> dict[str, Transition]:
    """Return every transition with its name."""
    found = vars(transitions).items()
    return {name.replace("_", " ").lower(): one for name, one in found if isinstance(one, Transition)}


def meanings() -> dict[Status, str]:
    """Return what the docstring below each state says."""
    (cls,) = ast.parse(inspect.getsource(Status)).body
    assert isinstance(cls, ast.ClassDef)  # noqa: S101
    return {
        Status[state.targets[0].id]: about.value.value
        for state, about in pairwise(cls.body)
        if isinstance(state, ast.Assign) and isinstance(state.targets[0], ast.Name)
        if isinstance(about, ast.Expr) and isinstance(about.value, ast.Constant) and isinstance(about.value.value, str)
    }
