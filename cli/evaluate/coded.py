"""A column of texts as numbers: what groups are made of is told apart by them, without a Python object a row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.linear import Flags


@dataclass(frozen=True)
class CodedColumn:
    codes: NDArray[np.int32]
    """Of each row, the place of its text in `names`; -1: it has none."""
    names: list[str]

    @property
    def present(self) -> Flags:
        return self.codes >= 0

    def counts(self, rows: NDArray[np.intp]) -> dict[str, int]:
        """Return how often each text is in these rows, by the text; what is in none is left out."""
        found = np.bincount(self.codes[rows] + 1, minlength=len(self.names) + 1)[1:].tolist()
        return {name: count for name, count in sorted(zip(self.names, found, strict=True)) if count}

    def texts(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the texts of these rows, None where there is none."""
        found: NDArray[np.object_] = np.array([*self.names, None], dtype=object)[self.codes[rows]]
        return found

    def is_text(self, text: str) -> Flags:
        """Return which rows have this text."""
        return self.codes == self.names.index(text) if text in self.names else np.zeros(len(self.codes), bool)


def coded(column: Any) -> CodedColumn:
    """Return a column of an Arrow table."""
    one = column.dictionary_encode().unify_dictionaries().combine_chunks()
    if not len(one):
        return CodedColumn(np.empty(0, np.int32), [])
    return CodedColumn(one.indices.fill_null(-1).to_numpy(zero_copy_only=False), one.dictionary.to_pylist())


def spread(codes: CodedColumn, rows: NDArray[np.intp], size: int) -> CodedColumn:
    """Return a column of so many rows, of which these have the given texts and the others none."""
    found = np.full(size, -1, np.int32)
    found[rows] = codes.codes
    return CodedColumn(found, codes.names)
