"""An empty loop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Burn:
    def predict(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
        return {"burnt": [burn(int(cycles)) for cycles in columns["cycles"]]}


def burn(cycles: int) -> int:
    for _ in range(cycles):
        pass
    return cycles


def load(artifact: Path) -> Burn:
    return Burn()
