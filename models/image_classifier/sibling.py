"""Makes a served model beside the image classifier: the same code, with a name, artifacts and a table of its own.

Its folder holds four files of a few lines each, which a person may change afterwards.
"""

import keyword
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

FILES = {
    "__init__.py": '''"""Classifies images, as `millrace models add` made it."""
''',
    "spec.py": '''"""What it takes and gives: as the image classifier does, in a table of its own."""

from dataclasses import replace

from models.image_classifier.spec import SPEC as LIKE

SPEC = replace(LIKE, name="{name}", title="Says what is in an image ({name})", table="{name}_images", endpoint=None)
''',
    "model.py": '''"""Loads its network as the image classifier loads its own."""

from models.image_classifier.model import load

__all__ = ["load"]
''',
    "README.md": """# {name}

A network that was added with `millrace models add --name {name}`. It takes and gives what the
[image classifier](../image_classifier/README.md) does, at `POST /models/{name}/submit`, into the table `{name}_images`.
Write here what it was trained on, how well it does, and what it is not for.
""",
}


class NameRefused(ValueError):
    """The name cannot be that of a new model; the message says why."""


@contextmanager
def artifacts(name: str, room: Path) -> Iterator[Path]:
    """Give the folder for the model's artifacts; a new model's folder appears whole, when the block has ended well.

    Raises NameRefused.
    """
    place = room / name
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        raise NameRefused(f"--name {name!r}: use up to 40 small letters, digits and underscores, a letter first")
    if (place / "spec.py").is_file() and (place / "spec.py").read_text(encoding="utf-8") == _content("spec.py", name):
        yield place / "artifact"  # another version of it
        return
    if place.exists() or place.with_suffix(".py").exists():
        raise NameRefused(f"--name {name!r}: {place} is something else; choose another name")
    with TemporaryDirectory(dir=room, prefix=".add-") as scratch:
        made = Path(scratch) / name
        made.mkdir()
        for file in FILES:
            (made / file).write_text(_content(file, name), encoding="utf-8")
        yield made / "artifact"
        made.rename(place)


def _content(file: str, name: str) -> str:
    return FILES[file].replace("{name}", name)
