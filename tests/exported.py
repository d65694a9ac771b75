"""An export into a folder, by real files with real manifests: what deleting needs of one, whatever its format."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from cli.exported_days import Exports


@dataclass(frozen=True)
class Manifest:
    day: date
    rows: int
    sha256: str


@dataclass(frozen=True)
class ExportFolder:
    engine: Engine
    path: Path

    @property
    def functions(self) -> Exports:
        return Exports(self.verified, self.days, self.export_day)

    @property
    def functions_with_erase(self) -> Exports:
        return Exports(self.verified, self.days, self.export_day, self.erase)

    def export_day(self, model: str, table: str, day: date) -> Manifest:
        query = f"SELECT to_jsonb(p) FROM {table} AS p WHERE (scored_at AT TIME ZONE 'UTC')::date = :day ORDER BY 1"
        with self.engine.connect() as connection:
            return self._write(model, day, list(connection.execute(text(query), {"day": day}).scalars()))

    def verified(self, model: str, day: date) -> Manifest | None:
        stated = self._file(model, day).with_suffix(".manifest")
        if not stated.exists():
            return None
        manifest = Manifest(day, **json.loads(stated.read_text(encoding="utf-8")))
        content = self._file(model, day).read_bytes()
        return manifest if hashlib.sha256(content).hexdigest() == manifest.sha256 else None

    def days(self, model: str) -> list[date]:
        return [date.fromisoformat(file.stem) for file in self.path.glob(f"{model}/*.manifest")]

    def erase(self, model: str, day: date, column: str, value: str | int) -> Manifest:
        return self._write(model, day, [row for row in self.rows(model, day) if row[column] != value])

    def rows(self, model: str, day: date) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file(model, day).read_text(encoding="utf-8").splitlines()]

    def contains(self, *words: str) -> bool:
        return any(word in file.read_text(encoding="utf-8") for file in self.path.rglob("*.ndjson") for word in words)

    def tamper(self, model: str, change: Callable[[bytes], bytes]) -> None:
        for file in self.path.glob(f"{model}/*.ndjson"):
            file.write_bytes(change(file.read_bytes()))

    def _file(self, model: str, day: date) -> Path:
        return self.path / model / f"{day}.ndjson"

    def _write(self, model: str, day: date, rows: list[dict[str, Any]]) -> Manifest:
        file = self._file(model, day)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
        manifest = Manifest(day, len(rows), hashlib.sha256(content).hexdigest())
        file.write_bytes(content)
        stated = {"rows": manifest.rows, "sha256": manifest.sha256}
        file.with_suffix(".manifest").write_text(json.dumps(stated), encoding="utf-8")
        return manifest
