"""`python -m serving.unservable`: prints the folders of the models whose runtime is not installed here, one a line.

The build of an image for one runtime leaves these models out.
"""

import sys
from collections.abc import Iterator

from serving import catalogue


def unservable() -> Iterator[str]:
    """Yield the models that cannot be imported because a package of others is missing."""
    for name in catalogue.specs():
        try:
            catalogue.loader(name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] == "models":
                raise
            yield name


if __name__ == "__main__":
    sys.stdout.writelines(f"{catalogue.FOLDER / name}\n" for name in unservable())
