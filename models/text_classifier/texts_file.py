"""Labelled texts from a file of JSON lines, held to the same rules as a text that arrives by HTTP."""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.text_classifier.dataset import TextDataset, related
from models.text_classifier.endpoint import EndpointText
from serving import wording
from serving.artifact import sha256
from serving.contract import NO_NUL
from serving.training import BadTrainingData
from serving.visible import BLANK, is_blank


class Row(BaseModel):
    """One line of the file; further fields are left alone."""

    model_config = ConfigDict(strict=True)

    text: EndpointText
    label: Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]


def read_texts(file: Path) -> TextDataset:
    """Read `text` and `label` of every line of a .jsonl or .jsonl.gz file. Raises BadTrainingData."""
    if not file.name.lower().endswith((".jsonl", ".jsonl.gz")):
        raise BadTrainingData(f"{file}: the name must end in .jsonl or .jsonl.gz")
    try:
        rows = [_row(file, number, line) for number, line in _lines(file)]
    except FileNotFoundError:
        raise BadTrainingData(f"{file}: there is no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise BadTrainingData(
            f"{file}: this is no gzip file, or one that is cut off or damaged; compress it again"
        ) from None
    except OSError as broken:
        raise BadTrainingData(f"{file}: {broken.strerror or broken}") from None
    if not rows:
        raise BadTrainingData(f"{file}: there is nothing in it")
    texts = [row.text for row in rows]
    return TextDataset(file.name, sha256(file), texts, np.array([row.label for row in rows]), related(texts))


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1 and 0 in line[:4]:
                raise BadTrainingData(f"{file}: it is UTF-16 or UTF-32; save it as UTF-8")
            text = line.removeprefix(BOM_UTF8) if number == 1 else line
            if text.strip():
                yield number, text


def _row(file: Path, number: int, line: bytes) -> Row:
    try:
        row = Row.model_validate_json(line)
    except ValidationError as refusal:
        first = refusal.errors(include_url=False)[0]
        field = f", field {first['loc'][0]}" if first["loc"] else ""
        raise BadTrainingData(f"{file}, line {number}{field}: {wording.words(first, Row)}") from None
    for field, value in row:
        if is_blank(value):
            raise BadTrainingData(f"{file}, line {number}, field {field}: {BLANK}")
    return row
