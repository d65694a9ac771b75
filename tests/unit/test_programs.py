"""What is a program by its content, and what only looks like one."""

import gzip
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest

from serving.catalogue import FOLDER
from serving.programs import kind_of


def zipped() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("data.pkl", b"")
        return file.getvalue()


PROGRAMS = [
    *[pickle.dumps(print, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)],
    *[pickle.dumps({"model": OrderedDict(a=1)}, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)],
    b"cos\nsystem\n(S'true'\ntR.",
    b"(S'true'\nios\nsystem\n.",
    gzip.compress(pickle.dumps(print)),
    zipped(),
    b"\x7fELF\x02\x01\x01",
    b"#!/bin/sh\ntrue\n",
]
DATA = [
    b"",
    b".",
    b"N.",
    b"cat\ndog\nbird\n",
    b"cat\ndog.",
    b"classes\nof things.",
    b'{"learner": 1.}.',
    b"tree\nversion=v4\n",
    b"\x80",
    b"\x80\x00\x00\x3f" * 9,
    b"I1\n.",
    pickle.dumps(print, 0)[:-1],
]


@pytest.mark.parametrize("content", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_is_one_under_any_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    assert kind_of(tmp_path / "model.bin")


@pytest.mark.parametrize("content", DATA, ids=range(len(DATA)))
def test_data_is_no_program(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert kind_of(tmp_path / "labels.txt") is None


def test_no_file_of_the_models_here_is_taken_for_one() -> None:
    files = [one for one in FOLDER.glob("*/artifact/*/**/*") if one.is_file() and one.suffix != ".pt"]
    assert len(files) > 10
    assert {one.name: kind for one in files if (kind := kind_of(one))} == {}
