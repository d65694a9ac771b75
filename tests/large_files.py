"""A place for large files of models, a model that has one, and the command that adds it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import s3fs  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer  # type: ignore[import-untyped]
from sqlalchemy import Engine, text

from registry.large_files import LARGE
from tests.external import DATA, split
from tests.forking import run_command

KEYS = {"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve an empty bucket, of which this process and its children have the address and a key."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **KEYS}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # those of an earlier test know another server
    s3fs.S3FileSystem().mkdir("models")
    yield "s3://models/large"
    httpx.post(f"http://{host}:{port}/moto-api/reset")  # what it holds belongs to this process, not to the server
    server.stop()


def network(folder: Path) -> Path:
    """Make a network whose weights lie in a file that is large, and no larger than that."""
    split(folder)
    (folder / "sample.csv").write_text("a,b,c,expected\n1,2,3,14\n4,5,6,32\n")
    with (folder / DATA).open("r+b") as file:
        file.truncate(LARGE)
    return folder


def millrace(database_url: str, *arguments: str, status: int = 0, **settings: str) -> str:
    ended, said = run_command(["cli.models", *arguments], {**os.environ, "DATABASE_URL": database_url, **settings})
    assert ended == status, said
    return said


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
