"""The files of a model's folder: none outside it, and no links."""

from pathlib import Path

from registry.inspection.proposal import ModelRefused


def inside(folder: Path, name: str, where: str) -> Path:
    """Return a file of the folder. Raises ModelRefused for a link, and for what is outside."""
    file = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelRefused(f"{where}: {name} is outside the folder; put the file into it")
    if any(part.is_symlink() for part in (file, *file.parents) if folder in part.parents or part == file):
        raise ModelRefused(f"{where}: {name} is a link; put the file itself into the folder")
    if not file.is_file():
        raise ModelRefused(f"{where}: there is no file {name}")
    return file
