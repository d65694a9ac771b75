"""Columns become tensors and tensors columns, in JSON and in binary, as Triton's own functions write and read them."""

import math
from base64 import b64encode
from datetime import datetime
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

from handler.protocol import tensors
from handler.protocol.tensors import Tensor, WrongTensor
from serving.contract import Column, Kind

TEXTS = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=5)
FLOATS = strategies.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[str, strategies.SearchStrategy[Any]] = {
    "text": TEXTS,
    "bytes": strategies.binary(max_size=5),
    "timestamp": strategies.datetimes(timezones=strategies.timezones()).map(datetime.isoformat),
    "integer": strategies.integers(-(2**31), 2**31 - 1),
    "bigint": strategies.integers(-(2**63), 2**63 - 1),
    "double": FLOATS,
    "boolean": strategies.booleans(),
    "text[]": strategies.lists(TEXTS, min_size=2, max_size=2),
    "double[]": strategies.lists(FLOATS, min_size=2, max_size=2),
}


def column(kind: str) -> Column:
    return Column("field", kind, nullable=False)  # type: ignore[arg-type]


def reread(written: dict[str, Any]) -> Tensor:
    return msgspec.json.decode(msgspec.json.encode(written), type=Tensor)


def test_every_kind_of_column_is_a_tensor() -> None:
    assert set(get_args(Kind)) == set(tensors.DATATYPES) == set(VALUES)


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
@pytest.mark.parametrize("kind", list(VALUES))
@given(data=strategies.data())
def test_what_is_written_is_read_again(kind: str, binary: bool, data: strategies.DataObject) -> None:
    values = data.draw(strategies.lists(VALUES[kind], max_size=4))
    tensor, raw = tensors.build(column(kind), values, binary=binary)
    in_json = [b64encode(value).decode() for value in values] if kind == "bytes" else values
    assert tensors.parse(column(kind), reread(tensor), raw if binary else None) == in_json


@pytest.mark.parametrize("kind", ["integer", "bigint", "double", "boolean", "bytes"])
@given(data=strategies.data())
def test_tritons_own_functions_write_and_read_the_same(kind: str, data: strategies.DataObject) -> None:
    values = data.draw(strategies.lists(VALUES[kind], min_size=1, max_size=4))
    _, raw = tensors.build(column(kind), values, binary=True)
    if kind == "bytes":
        assert deserialize_bytes_tensor(raw).tolist() == values
        assert serialize_byte_tensor(np.array(values, np.object_)).item() == raw
    else:
        array = np.array(values, triton_to_np_dtype(tensors.datatype(column(kind))))
        assert array.tobytes() == raw


@pytest.mark.parametrize("given_as", ["FP16", "FP32", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64"])
def test_other_numbers_are_taken_for_floats(given_as: str) -> None:
    values = np.array([0, 1, 7], triton_to_np_dtype(given_as))
    read = tensors.parse(column("double"), Tensor("field", given_as, [3, 1]), values.tobytes())
    assert read == [0.0, 1.0, 7.0]
    assert {type(value) for value in read} == {float}


def test_lists_of_unequal_lengths_are_filled_up_and_gaps_are_empty() -> None:
    for kind, value, empty in [("text[]", "a", ""), ("double[]", 0.5, 0.0)]:
        tensor, _ = tensors.build(column(kind), [[value], None, [value] * 2], binary=False)
        assert (tensor["shape"], tensor["data"]) == ([3, 2], [value, *[empty] * 3, value, value])
    for kind, empty, size in [
        ("text", "", 4),
        ("bytes", "", 4),
        ("integer", 0, 4),
        ("bigint", 0, 8),
        ("boolean", False, 1),
    ]:
        assert tensors.build(column(kind), [None], binary=False)[0]["data"] == [empty]
        assert tensors.build(column(kind), [None], binary=True)[1] == bytes(size)
    assert tensors.build(column("double"), [None], binary=False)[0]["data"] == [None]
    assert math.isnan(np.frombuffer(tensors.build(column("double"), [None], binary=True)[1])[0])


def test_lists_without_elements_are_still_one_an_input() -> None:
    assert tensors.parse(column("double[]"), Tensor("field", "FP64", [3, 0], []), None) == [[], [], []]


def test_a_boolean_is_0_or_1() -> None:
    assert tensors.parse(column("boolean"), Tensor("field", "BOOL", [3]), b"\0\1\2") == [False, True, 2]
    with pytest.raises(WrongTensor, match="cannot be read as BOOL"):
        tensors.parse(column("boolean"), Tensor("field", "UINT8", [1]), b"\1")
