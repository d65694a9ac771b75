"""The files that a served model loads: found by version, and verified by sha256 before anything reads them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import programs
from serving.catalogue import FOLDER


class ArtifactMissing(Exception):
    """The model has no artifact; train it first."""


class ArtifactTampered(Exception):
    """A file of the artifact is not the one that its manifest describes."""


class ModelMismatch(Exception):
    """The model file is not of the kind that the code beside it expects."""


class UnsafeFormat(Exception):
    """A file of the artifact could run code when it is loaded."""


FORMATS = frozenset({".ubj", ".onnx", ".cbm", ".bin", ".model", ".json", ".jsonl", ".txt"})
"""Formats that an artifact may have: they hold data only. Pickles (.pkl, .joblib, .pt) are programs, and stay what they
are under another name (programs.py)."""

PROGRAMS = {"torchscript": ".pt"}
"""Runtime → the format that it needs although it is a program. Allowed only where the manifest names that runtime,
which an operator chooses by hand (docs/decisions/0006-torchscript.md)."""

CODE = "code"
"""The runtime of models that are programs, each of which an operator has to allow by name; any file may be in them."""

REMOTE = "remote"
"""The runtime of models that another server runs."""

MANIFEST = "manifest.json"

EXTERNAL_DATA = "external_data"
"""In a manifest: the files that hold tensors of an ONNX model, by the names that it gives them; any suffix will do."""

MADE = ("golden.jsonl", "evaluation.json")
"""Files that are made of the others when a version is added, on whichever machine."""


@dataclass(frozen=True)
class Artifact:
    """One version of a model: `models/<name>/artifact/<version>/`."""

    path: Path
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.manifest["version"])

    @property
    def evaluation(self) -> dict[str, Any]:
        """Held-out metrics as `evaluate.py` wrote them."""
        text = (self.path / "evaluation.json").read_text(encoding="utf-8")
        evaluation: dict[str, Any] = json.loads(text)
        return evaluation

    def golden(self) -> Iterator[dict[str, Any]]:
        """Yield `{"input": {…}, "output": {…}}` rows that a freshly loaded model must reproduce."""
        for line in (self.path / "golden.jsonl").read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def current(name: str, folder: Path | None = None) -> Artifact:
    """Return the artifact that `models/<name>/artifact/CURRENT` names, or the file CURRENT in another folder."""
    folder = folder or FOLDER / name / "artifact"
    try:
        version = (folder / "CURRENT").read_text(encoding="utf-8").strip()
        manifest = json.loads((folder / version / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise ArtifactMissing(f"model {name}: {missing.filename} is missing; run `millrace train {name}`") from None
    return Artifact(folder / version, manifest)


def verify(artifact: Artifact) -> None:
    """Compare every file with its sha256 in the manifest; raises ArtifactTampered or UnsafeFormat."""
    recorded = artifact.manifest["sha256"]
    runtime = artifact.manifest.get("runtime")
    formats = FORMATS | {PROGRAMS[runtime]} if runtime in PROGRAMS else FORMATS
    external = artifact.manifest.get(EXTERNAL_DATA, ())
    for file in filter(Path.is_file, artifact.path.rglob("*")):
        name = file.relative_to(artifact.path).as_posix()
        if name != MANIFEST and name not in recorded:
            raise ArtifactTampered(f"{file} is not in the manifest")
        if file.suffix not in formats and runtime != CODE and name not in external:
            raise UnsafeFormat(f"{file}: only {', '.join(sorted(formats))} are allowed")
        if runtime not in (CODE, *PROGRAMS) and (kind := programs.kind_of(file)) is not None:
            raise UnsafeFormat(f"{file}: its content is a {kind}, which could be a program, whatever its name says")
    for name, expected in recorded.items():
        actual = sha256(artifact.path / name) if (artifact.path / name).is_file() else "missing"
        if actual != expected:
            raise ArtifactTampered(f"{artifact.path / name}: sha256 is {actual}, the manifest says {expected}")


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
