"""What the Dockerfile copies is in the repository, and .dockerignore lets it into the build."""

from fnmatch import fnmatch

import pytest

from tests.running import ROOT

COPIED = sorted(
    {
        source
        for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in [word for word in line.split()[1:] if not word.startswith("--")][:-1]
    }
)
LET_IN = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_the_dockerfile_copies_something() -> None:
    assert {"evaluation", "store", "alembic.ini"} <= set(COPIED)


@pytest.mark.parametrize("source", COPIED)
def test_it_is_there_and_let_in(source: str) -> None:
    assert list(ROOT.glob(source))
    assert any(fnmatch(source, name) or source.startswith(f"{name}/") for name in LET_IN)
