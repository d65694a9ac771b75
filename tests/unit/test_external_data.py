"""Tensors that lie beside an ONNX model are read from plain files of its folder, and from nowhere else."""

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import Descriptor
from onnx import TensorProto, helper, numpy_helper

from registry.inspection import ModelRefused, inspect
from serving import external_data
from serving import onnx as opened
from serving.external_data import TENSORS, ExternalDataRefused
from tests.external import DATA, WEIGHTS, Entries, network, saved, split, tensor

SAMPLE = "a,b,c\n1,2,3\n4,5,6\n"
GIVEN = [14.0, 32.0]


@pytest.mark.parametrize("together", [True, False], ids=["in one file", "in a file each"])
@pytest.mark.parametrize("given", ["model.onnx", "."], ids=["the file", "its folder"])
def test_a_model_with_its_tensors_beside_it_gives_what_it_gives_in_one_file(
    tmp_path: Path, given: str, together: bool
) -> None:
    file = split(tmp_path / "net", together=together)
    (tmp_path / "sample.csv").write_text(SAMPLE)
    found = inspect(tmp_path / "net" / given, name="net", sample=tmp_path / "sample.csv")
    assert [row["output"]["value"] for row in found.golden] == GIVEN
    assert found.files["model.onnx"] == file
    (beside,) = found.external_data
    assert found.files[beside].read_bytes() == WEIGHTS.tobytes()


def test_a_file_in_a_folder_within_is_taken(tmp_path: Path) -> None:
    saved(tmp_path, network(tensor([("location", "weights/w")])))
    (tmp_path / "weights").mkdir()
    (tmp_path / DATA).rename(tmp_path / "weights" / "w")
    assert set(inspect(tmp_path / "model.onnx", name="net").files) == {"model.onnx", "weights/w"}


def test_an_offset_without_a_length_is_taken(tmp_path: Path) -> None:
    saved(tmp_path, network(tensor([("location", DATA), ("offset", "8")])))
    (tmp_path / DATA).write_bytes(bytes(8) + WEIGHTS.tobytes())
    assert inspect(tmp_path / "model.onnx", name="net").external_data == (DATA,)


# What is refused


def at(*entries: tuple[str, str], **rest: Any) -> Callable[[Path], Path]:
    """Make a network whose weights lie where these keys say."""
    return lambda folder: saved(folder, network(tensor(entries, **rest)))


def somewhere(location: str, make: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Do something in the folder, and make a network whose weights lie at the location."""

    def made(folder: Path) -> Path:
        file = at(("location", location))(folder)
        make(folder)
        return file

    return made


def linked_folder(folder: Path) -> None:
    (folder.parent / "other").mkdir()
    (folder / DATA).rename(folder.parent / "other" / "w")
    (folder / "sub").symlink_to(folder.parent / "other")


def huge(folder: Path) -> None:
    with (folder / DATA).open("r+b") as file:
        file.truncate(5 * 2**40)


def memory_address(folder: Path) -> None:
    (folder / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (folder / "*" / "_ORT_MEM_ADDR_" / "*").write_bytes(WEIGHTS.tobytes())


def same_bytes(folder: Path) -> Path:
    (folder / DATA).parent.mkdir(exist_ok=True)
    tensors = [tensor([("location", DATA)], name=f"W{n}") for n in range(3)]
    return saved(folder, network(*tensors))


def terabytes(folder: Path) -> Path:
    file = saved(folder, network(*(tensor([("location", DATA)], name=f"W{n}", shape=(2**28, 1)) for n in range(2_000))))
    with (folder / DATA).open("r+b") as data:
        data.truncate(2**30)
    return file


def two_spellings(folder: Path) -> Path:
    file = saved(folder, network(tensor([("location", "w")]), tensor([("location", "W")], name="V")))
    for name in ("w", "W"):
        (folder / name).write_bytes(WEIGHTS.tobytes())
    return file


OUTSIDE = tensor([("location", "../secret")], name="hidden", shape=(4,))
CONSTANT = helper.make_node("Constant", [], ["C"], value=OUTSIDE)
BRANCH = helper.make_graph(
    [CONSTANT], "branch", [], [helper.make_tensor_value_info("C", TensorProto.FLOAT, [4])], [OUTSIDE]
)
FUNCTION = helper.make_function("own", "F", [], ["C"], [CONSTANT], [helper.make_opsetid("", 13)])


def within(**more: Any) -> Callable[[Path], Path]:
    return lambda folder: saved(folder, network(numpy_helper.from_array(WEIGHTS, "W"), **more))


def merged(folder: Path) -> Path:
    """Write a graph twice: protobuf makes one of both, and here the second hides the tensor."""
    hidden = network(OUTSIDE).SerializeToString()
    file = saved(folder, network())
    file.write_bytes(file.read_bytes() + hidden)
    return file


BEYOND: Entries = [("location", DATA), ("offset", "4")]
ZOO: dict[str, tuple[Callable[[Path], Path], str]] = {
    "outside": (at(("location", "../secret")), "'../secret', outside the model's folder; put the file beside"),
    "outside by a way in": (at(("location", f"sub/../../{DATA}")), "outside the model's folder"),
    "absolute": (at(("location", "/etc/passwd")), "'/etc/passwd', outside the model's folder"),
    "a link": (somewhere("w", lambda folder: (folder / "w").symlink_to("/etc/passwd")), "'w', which is a link; put"),
    "a link to a file beside it": (somewhere("w", lambda folder: (folder / "w").symlink_to(DATA)), "is a link"),
    "a folder that is a link": (somewhere("sub/w", linked_folder), "is a link"),
    "a pipe": (somewhere("w", lambda folder: os.mkfifo(folder / "w")), "the model's folder has no such file"),
    "a folder": (somewhere("w", lambda folder: (folder / "w").mkdir()), "the model's folder has no such file"),
    "missing": (at(("location", "other.data")), "'other.data', and the model's folder has no such file; put it there"),
    "a NUL": (at(("location", f"{DATA}\0.png")), "is not the plain name of a file"),
    "a line break": (at(("location", "w\n")), "is not the plain name of a file"),
    "a backslash": (at(("location", "..\\secret")), "is not the plain name of a file"),
    "a drive": (at(("location", "C:w")), "is not the plain name of a file"),
    "an address": (at(("location", "file:///etc/passwd")), "is not the plain name of a file"),
    "a dot before it": (at(("location", f"./{DATA}")), "is not the plain name of a file"),
    "two slashes": (at(("location", f"sub//{DATA}")), "is not the plain name of a file"),
    "decomposed letters": (at(("location", "e\u0301.data")), "is not the plain name of a file"),
    "two spellings": (two_spellings, "'[wW]', which is also called '[wW]'"),
    "a place in memory": (somewhere("*/_ORT_MEM_ADDR_/*", memory_address), "is not the plain name of a file"),
    "no location": (at(("offset", "0"), name="location"), "by the keys 'offset'"),
    "no keys": (at(name="location"), "by the keys ''"),
    "two locations": (at(("location", DATA), ("location", "../secret")), "by the keys 'location, location'"),
    "a key of its own": (at(("location", DATA), ("basepath", "/etc")), "by the keys 'location, basepath'"),
    "beyond the end": (at(*BEYOND), r"ends at byte 12, before the tensor does \(16\)"),
    "far beyond the end": (at(("location", DATA), ("offset", "9" * 19)), "ends at byte 12"),
    "a negative offset": (at(("location", DATA), ("offset", "-4")), "the offset '-4', which is no number of bytes"),
    "an offset in other digits": (at(("location", DATA), ("offset", "\u0664")), "which is no number of bytes"),
    "an offset of many digits": (at(("location", DATA), ("offset", "1" * 5_000)), "which is no number of bytes"),
    "another length": (at(("location", DATA), ("length", "8")), "the length 8, and its shape takes 12"),
    "terabytes of a small file": (at(("location", DATA), shape=(2**40, 1)), "ends at byte 12, before"),
    "a negative size": (at(("location", DATA), shape=(-1, 1)), "with a shape that no tensor has"),
    "sizes without an end": (at(("location", DATA), shape=(2**62,) * 1_200), "with a shape that no tensor has"),
    "texts": (at(("location", DATA), kind=TensorProto.STRING), "the data type 8, which no other file can hold"),
    "one range for several": (same_bytes, "whose 12 bytes are fewer than its tensors together have"),
    "terabytes in one range": (terabytes, "are fewer than its tensors together have"),
    "a file of terabytes": (somewhere(DATA, huge), "8,589,934,592 are the most: make the model smaller"),
    "a file of ours": (
        somewhere("golden.jsonl", lambda folder: (folder / DATA).rename(folder / "golden.jsonl")),
        "^golden.jsonl: the platform makes a file of this name",
    ),
    "a pickle": (
        somewhere(DATA, lambda folder: (folder / DATA).write_bytes(pickle.dumps(list(range(90))))),
        f"^{DATA}: it begins as a pickle does",
    ),
    "in a node": (within(nodes=[CONSTANT]), "the tensor 'hidden' lies in '../secret', outside"),
    "in a branch": (
        within(nodes=[helper.make_node("If", ["Y"], ["Z"], then_branch=BRANCH, else_branch=BRANCH)]),
        "the tensor 'hidden' lies in",
    ),
    "in a function": (within(functions=[FUNCTION]), "the tensor 'hidden' lies in"),
    "in a graph that is written twice": (merged, "the tensor 'hidden' lies in"),
}


@pytest.mark.parametrize(("make", "words"), ZOO.values(), ids=ZOO)
def test_a_tensor_that_lies_elsewhere_is_refused_with_its_name_and_the_remedy(
    make: Callable[[Path], Path], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    file = make(tmp_path / "given")
    asked: list[object] = []
    monkeypatch.setattr("registry.inspection.child.ask", asked.append)
    with pytest.raises(ModelRefused, match=words) as refused:
        inspect(file, name="net")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    assert not asked, "no library has opened it"


def test_a_library_opens_no_model_whose_tensors_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ExternalDataRefused, match="outside"):
        opened.session(at(("location", "../secret"))(tmp_path / "given"))


@pytest.mark.parametrize("content", [b"\x0b", b"\x00", b"\xff" * 12, b"\x3a\x7f", b"\x3a\x03\x0a\x05a"])
def test_bytes_that_are_no_message_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content + b"location")
    with pytest.raises(ExternalDataRefused, match="the file is damaged"):
        external_data.files(tmp_path / "model.onnx")


def test_messages_without_an_end_are_refused(tmp_path: Path) -> None:
    content = b"location"
    for _ in range(40):
        for field in (6, 5, 1):  # a graph in an attribute in a node in a graph
            size = len(content)
            content = bytes([field << 3 | 2, size & 0x7F | 0x80, size >> 7 & 0x7F]) + content
    (tmp_path / "model.onnx").write_bytes(bytes([7 << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content)
    with pytest.raises(ExternalDataRefused, match="messages within messages"):
        external_data.files(tmp_path / "model.onnx")


def test_any_bytes_changed_are_read_or_refused_and_never_lead_outside(tmp_path: Path) -> None:
    file = at(("location", DATA), ("offset", "0"), ("length", "12"))(tmp_path)
    whole, random = file.read_bytes(), np.random.default_rng(0)
    for _ in range(3_000):
        changed = bytearray(whole)
        for place in random.integers(len(whole), size=3):
            changed[place] = random.integers(256)
        file.write_bytes(changed)
        try:
            found = external_data.files(file)
        except ExternalDataRefused:
            continue
        assert set(found.values()) <= {tmp_path / DATA}


def test_every_field_of_onnx_that_leads_to_a_tensor_is_followed() -> None:
    assert {name: dict(fields) for name, fields in TENSORS.items()} == dict(_leading(onnx.ModelProto.DESCRIPTOR))


def _leading(model: Descriptor) -> Iterator[tuple[str, dict[int, str]]]:
    """Yield each message that holds tensors, and its fields that lead to one."""
    found, waiting = {model.name: model}, [model]
    while waiting:
        for field in waiting.pop().fields:
            if (kind := field.message_type) is not None and kind.name not in found:
                found[kind.name] = kind
                waiting.append(kind)
    leading = {"TensorProto"}
    for _ in found:
        leading |= {
            name
            for name, message in found.items()
            if any(field.message_type is not None and field.message_type.name in leading for field in message.fields)
        }
    for name in leading - {"TensorProto"}:
        fields = [field for field in found[name].fields if field.message_type and field.message_type.name in leading]
        yield name, {field.number: field.message_type.name for field in fields}
