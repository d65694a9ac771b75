"""Made-up labelled texts to train on, which no classifier can tell apart entirely."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from models.text_classifier.dataset import TextDataset, related

COMMON = ["the", "of", "and", "in", "for", "with", "about", "from", "this", "that"]
LABELS = {
    "sea": ["wave", "tide", "harbour", "sailor", "anchor", "reef", "storm", "gull", "mast", "keel"],
    "bread": ["flour", "yeast", "oven", "crust", "dough", "loaf", "knead", "bake", "rye", "salt"],
    "été": ["soleil", "plage", "chaleur", "glace", "août", "vacances", "sable", "crème", "île", "nuage"],
}


def text(label: str, draw: random.Random, length: int = 40) -> str:
    """Half of the words say nothing; some are of another label, and some are known to nobody."""
    own, others = LABELS[label], [word for words in LABELS.values() for word in words]
    kinds = [(COMMON, 0.5), (own, 0.11), (others, 0.34), ([f"name{draw.randrange(10_000)}"], 0.05)]
    chosen = draw.choices([words for words, _ in kinds], [share for _, share in kinds], k=length)
    return " ".join(draw.choice(words) for words in chosen)


def texts(count: int, seed: int = 1) -> list[dict[str, str]]:
    draw = random.Random(seed)  # noqa: S311
    return [{"text": text(label, draw), "label": label} for label in LABELS for _ in range(count)]


def write(rows: list[Any], file: Path) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    content = b"\n".join(lines) + b"\n"
    file.write_bytes(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)
    return file


def dataset(rows: list[dict[str, str]]) -> TextDataset:
    words = [row["text"] for row in rows]
    return TextDataset("texts", "", words, np.array([row["label"] for row in rows]), related(words))
