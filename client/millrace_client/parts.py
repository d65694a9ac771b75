"""What reading a file gives: parts, each the body of a request; and how its columns become fields of the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from millrace_client.errors import MillraceError


class CannotRead(MillraceError):
    """The file is not what its name says; the message says where."""


class FilePart(NamedTuple):
    """Consecutive rows of a file, as the body of a request."""

    body: bytes
    content_type: str
    n_rows: int


@dataclass(frozen=True)
class Columns:
    """How the columns of a file become fields of the model."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Column of the file → field of the model."""
    kept: Callable[[str], bool] | None = None
    """Says of a field whether it is sent; None: all are."""

    @property
    def unchanged(self) -> bool:
        return not self.renamed and self.kept is None

    def names(self, given: Sequence[str], *, all_there: bool = True) -> list[str]:
        """Return the fields of these columns, in their order.

        Raises CannotRead for a column that is not there, unless not `all_there` have to be, and for two of one field.
        """
        if all_there and (missing := [name for name in self.renamed if name not in given]):
            raise CannotRead(f"there is no column {missing[0]!r}; the columns are {', '.join(map(_visible, given))}")
        names = [self.renamed.get(name, name) for name in given]
        if twice := [name for name in self.renamed.values() if names.count(name) > 1]:
            raise CannotRead(f"two columns are sent as {twice[0]!r}; rename one, or leave it out of the file")
        return names

    def keeps(self, name: str) -> bool:
        return self.kept is None or self.kept(name)


def _visible(name: str) -> str:
    return name if name.isprintable() else ascii(name)
