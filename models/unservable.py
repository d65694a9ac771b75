"""`python -m models.unservable`: names the folders of the models whose runtime is not installed here, one a line.

An image of one runtime is built of every model, and these are left out of it.
"""

import sys
from collections.abc import Iterator

from models import catalogue


def unservable() -> Iterator[str]:
    """Yield the models that cannot be imported for want of a package that is not ours."""
    for name in catalogue.specs():
        try:
            catalogue.loader(name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] == "models":
                raise
            yield name


if __name__ == "__main__":
    sys.stdout.writelines(f"{catalogue.ROOM / name}\n" for name in unservable())
