"""The files beside an ONNX model that hold its tensors: each becomes a file of the version, under its own name."""

from pathlib import Path

from registry.inspection.proposal import ModelRefused
from registry.inspection.source import Source
from runtimes import RUNTIMES
from serving import external_data, programs
from serving.artifact import MADE, MANIFEST
from serving.external_data import SAVE_AGAIN, ExternalDataRefused

MAX_BYTES = 8 * 2**30
"""Of all together. PostgreSQL takes some 50 MiB of them a second."""


def beside(found: Source) -> dict[str, Path]:
    """Return the files, none for most models, by their names in the artifact. Raises ModelRefused."""
    if found.runtime != "onnx":
        return {}
    name = found.file.name
    try:
        files = external_data.files(found.file)
    except ExternalDataRefused as refused:
        raise ModelRefused(f"{name}: {refused}") from None
    if taken := {one.casefold() for one in files} & {*MADE, MANIFEST, RUNTIMES[found.runtime].file}:
        raise ModelRefused(f"{min(taken)}: the platform makes a file of this name; {SAVE_AGAIN}")
    if (size := total(files)) > MAX_BYTES:
        raise ModelRefused(
            f"{name}: its tensors lie in {size:,} bytes; {MAX_BYTES:,} are the most: make the model smaller"
        )
    for inside, file in files.items():
        if (kind := programs.kind_of(file)) is not None:
            raise ModelRefused(f"{inside}: it begins as a {kind} does, which may be a program; {SAVE_AGAIN}")
    return files


def total(files: dict[str, Path]) -> int:
    """Return the bytes of all of them."""
    return sum(file.stat().st_size for file in files.values())
