"""What all trainers share: name a version, write its manifest, and put the finished folder in its place."""

import importlib.metadata
import json
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from serving.artifact import MANIFEST, sha256


class BadTrainingData(ValueError):
    """The data cannot be trained on; the message says where and why."""


class RuntimesDisagree(Exception):
    """One trained model gives different outputs in the runtimes that it was exported for."""


class VersionRefused(ValueError):
    """The version's name is malformed, or already names other contents, to which predictions refer."""


@contextmanager
def new_artifact(out: Path, version: str) -> Iterator[Path]:
    """Yield an empty folder to fill. When the block succeeds, the folder becomes `out/version`, and CURRENT names it.

    Nothing under `out` changes unless the whole block succeeds. A version never changes its contents, because
    predictions name it. The block ends with `write_manifest`. Raises VersionRefused.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", version) or version == "CURRENT":
        raise VersionRefused(f"version {version!r}: use up to 64 letters, digits, dots, dashes and underscores")
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".train-") as scratch:
        made = Path(scratch) / version  # made by mkdir: the scratch folder itself is closed to other users
        made.mkdir()
        yield made
        _publish(made, out / version)


def write_manifest(made: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of a folder that is complete otherwise: its version, each file's sha256, and `about`."""
    files = sorted(file for file in made.rglob("*") if file.is_file() and file.name != MANIFEST)
    hashes = {file.relative_to(made).as_posix(): sha256(file) for file in files}
    write_json(made / MANIFEST, {"version": made.name, "sha256": hashes, **about})


def write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_golden(made: Path, rows: Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
    """Write rows of (input, output), in JSON's terms, that the freshly loaded model has given."""
    lines = (json.dumps({"input": dict(i), "output": dict(o)}, ensure_ascii=False) + "\n" for i, o in rows)
    (made / "golden.jsonl").write_text("".join(lines), encoding="utf-8")


def libraries(*names: str) -> dict[str, str]:
    """Return the versions that may change the bytes of an artifact: of these distributions, Python and the platform."""
    return {
        **{name: importlib.metadata.version(name) for name in names},
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
    }


def _publish(made: Path, place: Path) -> None:
    """Move the finished folder into place, then name it in CURRENT: each in one atomic step."""
    if place.exists():
        old, new = (json.loads((folder / MANIFEST).read_text(encoding="utf-8")) for folder in (place, made))
        if old["sha256"] != new["sha256"]:
            raise VersionRefused(f"{place} exists with other contents; choose another --version, or remove that folder")
    else:
        made.rename(place)
    pointer = made.parent / "CURRENT"
    pointer.write_text(place.name + "\n", encoding="utf-8")
    pointer.replace(place.parent / "CURRENT")
