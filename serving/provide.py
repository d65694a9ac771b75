"""`python -m serving.provide FOLDER`: downloads the artifact that MODEL_WEIGHTS names, before a program starts.

The folder is then mounted in the place of `models/<model>/artifact`. MODEL_WEIGHTS names a tar archive of such a
folder's `<version>/`, as the trainers write it and, for the translator, `millrace models fetch`.
"""

import hashlib
import json
import shutil
import sys
import tarfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urldefrag
from urllib.request import urlopen

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving import artifact
from serving.artifact import MANIFEST, Artifact, ArtifactTampered, UnsafeFormat
from serving.training import VersionRefused, new_artifact

ARCHIVE = "ARCHIVE"
"""A file beside CURRENT with the sha256 of the archive that the artifact came in."""


class WeightsSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    model_weights: str = Field(
        default="",
        pattern=r"^$|^(https|file)://.+#sha256=[0-9a-f]{64}$",
        description="address and hash of the weights: https://…/archive.tar.gz#sha256=…",
    )
    save_weights: bool = Field(default=True, description="use what an earlier start has left in the folder")


class WeightsRefused(Exception):
    """The archive has another sha256 than MODEL_WEIGHTS names, or is no archive of one artifact."""


def provide(folder: Path, settings: WeightsSettings) -> Artifact:
    """Leave the artifact in the folder, whole or not at all, and name it in CURRENT.

    Raises WeightsRefused, VersionRefused, ArtifactTampered, UnsafeFormat and OSError.
    """
    if not settings.model_weights:
        raise WeightsRefused("MODEL_WEIGHTS is not set")
    address, fragment = urldefrag(settings.model_weights)
    sha256 = fragment.removeprefix("sha256=")
    if settings.save_weights and (saved := _saved(folder, sha256)):
        return saved
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        _fetch(address, sha256, archive := Path(scratch) / "archive")
        new = _unpacked(archive, Path(scratch) / "unpacked")
        artifact.verify(new)
        with new_artifact(folder, new.path.name) as made:
            for file in new.path.iterdir():
                file.rename(made / file.name)
    (folder / ARCHIVE).write_text(sha256, encoding="utf-8")
    return Artifact(folder / new.path.name, new.manifest)


def _saved(folder: Path, sha256: str) -> Artifact | None:
    try:
        if (folder / ARCHIVE).read_text(encoding="utf-8") != sha256:
            return None
        found = _artifact_in(folder / (folder / "CURRENT").read_text(encoding="utf-8").strip())
        artifact.verify(found)
    except (FileNotFoundError, ArtifactTampered):
        return None
    return found


def _fetch(address: str, sha256: str, file: Path) -> None:
    digest = hashlib.sha256()
    with urlopen(address, timeout=60) as answer, file.open("wb") as archive:  # noqa: S310 - the settings allow two schemes
        while block := answer.read(2**20):
            digest.update(block)
            archive.write(block)
    if digest.hexdigest() != sha256:
        raise WeightsRefused(f"{address}: its sha256 is {digest.hexdigest()}, not {sha256}")


def _unpacked(archive: Path, place: Path) -> Artifact:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isdir():
                    _write(tar, member, place)
    except tarfile.TarError as error:
        raise WeightsRefused(f"the tar archive is damaged: {error}") from error
    found = list(place.glob(f"*/{MANIFEST}"))
    if len(found) != 1:
        raise WeightsRefused(f"the archive holds {len(found)} folders <version>/ with a {MANIFEST}, not one")
    return _artifact_in(found[0].parent)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Write one file of `<version>/`: no link, no device, nothing outside. (`filter="data"` is not in every 3.11.)"""
    content = tar.extractfile(member) if member.isfile() else None
    name = PurePosixPath(member.name)
    if content is None or name.is_absolute() or len(name.parts) != 2 or ".." in name.parts:
        raise WeightsRefused(f"the archive holds {member.name}; it may hold only files in one folder <version>/")
    file = place / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with content, file.open("xb") as written:
        shutil.copyfileobj(content, written)


def _artifact_in(folder: Path) -> Artifact:
    return Artifact(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def main(folder: str) -> None:
    try:
        found = provide(Path(folder), WeightsSettings())
    except (WeightsRefused, VersionRefused, ArtifactTampered, UnsafeFormat, OSError) as error:
        sys.exit(f"serving.provide: {error}")
    sys.stdout.write(f"{found.path}\n")


if __name__ == "__main__":
    main(sys.argv[1])
