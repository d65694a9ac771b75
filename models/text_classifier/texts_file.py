"""Labelled texts from a file of JSON lines, held to the same rules as a text that arrives by HTTP."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.artifact import sha256
from models.contract import NO_NUL
from models.text_classifier.dataset import Dataset, related
from models.text_classifier.endpoint import Text


class BadData(ValueError):
    """The file cannot be trained on. The message names the line, counted from 1, and the field."""


class Row(BaseModel):
    """One line of the file; further fields are left alone."""

    model_config = ConfigDict(strict=True)

    text: Text
    label: Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]


def read(file: Path) -> Dataset:
    """Read `text` and `label` of every line of a .jsonl or .jsonl.gz file. Raises BadData."""
    if not file.name.endswith((".jsonl", ".jsonl.gz")):
        raise BadData(f"{file}: the name must end in .jsonl or .jsonl.gz")
    try:
        rows = [_row(file, number, line) for number, line in _lines(file)]
    except FileNotFoundError:
        raise BadData(f"{file}: there is no such file") from None
    except (OSError, EOFError, zlib.error) as broken:
        raise BadData(f"{file}: {broken}") from None
    if not rows:
        raise BadData(f"{file}: there is nothing in it")
    texts = [row.text for row in rows]
    return Dataset(file.name, sha256(file), texts, np.array([row.label for row in rows]), related(texts))


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line


def _row(file: Path, number: int, line: bytes) -> Row:
    try:
        row = Row.model_validate_json(line)
    except ValidationError as refusal:
        first = refusal.errors(include_url=False, include_context=False)[0]
        field = f", field {first['loc'][0]}" if first["loc"] else ""
        raise BadData(f"{file}, line {number}{field}: {first['msg']}") from None
    for field, value in row:
        if not value.strip():
            raise BadData(f"{file}, line {number}, field {field}: there is nothing but space in it")
    return row
