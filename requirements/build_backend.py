"""setuptools, but for what installs a copy of Millrace: docs/decisions/0013-not-a-package.md says why it is refused."""

import sys
from typing import Any, NoReturn

from setuptools.build_meta import *  # noqa: F403

REFUSED = """
Millrace is not installed as a package: it runs from its checkout, beside the packages of requirements/*.txt.
On this machine, run `make up`, which installs what it needs into .venv. On a server, run `docker-compose up -d`.
"""


def build_wheel(*arguments: Any, **options: Any) -> NoReturn:
    """Refuse it: `pip install .` would put no dependency beside it, and `models` and `store` into everybody's way."""
    sys.exit(REFUSED)


def build_sdist(*arguments: Any, **options: Any) -> NoReturn:
    sys.exit(REFUSED)
