"""Who sends a request, and what the role of its API key lets it do.

A role is a set of rights and no rank: `operate` cancels every client's tasks and submits none.
"""

from dataclasses import dataclass

from handler.problems import ProblemKind, RequestRefused
from store.keys import Role

EVERY_ROLE = frozenset(Role)
SUBMITTERS = frozenset({Role.SUBMIT, Role.ADMIN})
CHANGERS = frozenset({Role.SUBMIT, Role.OPERATE, Role.ADMIN})
"""The roles that cancel and replay tasks: `submit` its own, the others every client's."""
OPERATORS = frozenset({Role.OPERATE, Role.ADMIN})
"""The roles that change which version of a model is live."""
REVIEWERS = frozenset({Role.TRIAGE, Role.ADMIN})
"""The roles that get predictions to review, of every client."""
REPORTERS = SUBMITTERS | REVIEWERS
"""The roles that report outcomes: `submit` of its own predictions, the others of every client's."""
LEADS = EVERY_ROLE - {Role.SUBMIT}
"""The roles that see how reviews go."""

_MASKED = frozenset({Role.READ, Role.OPERATE})


@dataclass(frozen=True, slots=True)
class Caller:
    client: str | None
    """None with AUTH=off."""
    role: Role

    @property
    def confined_to(self) -> str | None:
        """The client whose tasks alone the caller reads and changes; None: every client's."""
        return self.client if self.role is Role.SUBMIT else None

    @property
    def masked(self) -> bool:
        """Whether answers leave out personal fields."""
        return self.role in _MASKED

    @property
    def sees_clients(self) -> bool:
        """Whether answers say which client a task belongs to."""
        return self.role is not Role.SUBMIT and self.client is not None


ANYBODY = Caller(None, Role.ADMIN)
"""Everybody who can connect, with AUTH=off."""


def role_refused(role: Role, allowed: frozenset[Role]) -> RequestRefused:
    """Return the error for a key of a role that may not do what it asks for."""
    detail = (
        f"The key has the role {role}. This operation needs a key with the role {in_words(allowed)}; ask the operator."
    )
    return RequestRefused(ProblemKind.ROLE_REFUSED, detail)


def in_words(roles: frozenset[Role]) -> str:
    """Return "submit, operate or admin"."""
    *others, last = (str(role) for role in Role if role in roles)
    return f"{', '.join(others)} or {last}" if others else last
