"""ONNX models whose tensors lie in other files, as onnx.save writes them and as somebody would who means harm."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.array([[1.0], [2.0], [3.0]], np.float32)
DATA = "model.onnx.data"

Entries = Sequence[tuple[str, str]]


def network(*weights: TensorProto, nodes: Sequence[Any] = (), functions: Sequence[Any] = ()) -> onnx.ModelProto:
    """Make a network that multiplies three features by the first of these weights."""
    taken = weights or (numpy_helper.from_array(WEIGHTS, "W"),)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", taken[0].name], ["Y"]), *nodes],
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])],
        list(taken),
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def tensor(entries: Entries, name: str = "W", shape: Sequence[int] = (3, 1), kind: int = TensorProto.FLOAT) -> Any:
    """Make a tensor that lies where these keys and values say."""
    made = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in entries:
        made.external_data.add(key=key, value=value)
    return made


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    """Write the network as it stands, and the weights beside it. Return the network's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATA).write_bytes(WEIGHTS.tobytes())
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def split(folder: Path, *, together: bool = True) -> Path:
    """Write a good network with its weights in another file, as onnx does."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(
        network(),
        folder / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=together,
        location=DATA if together else None,
        size_threshold=0,
    )
    return folder / "model.onnx"
