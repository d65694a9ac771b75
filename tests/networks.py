"""Small residual networks, as somebody might bring them to `millrace models add`."""

from pathlib import Path
from typing import Any

import numpy as np


def onnx_network(
    file: Path,
    n_labels: int = 4,
    size: int = 16,
    channels: int = 3,
    batch: int | str = "n",
    gives: str = "logits",
    inputs: int = 1,
    kind: str = "FLOAT",
    rng: int = 0,
) -> Path:
    """Write a network with one residual block, pooling and a linear layer: what a ResNet is made of."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    drawn = np.random.default_rng(rng)
    element = getattr(TensorProto, kind)
    kernel = (
        drawn.normal(0, 0.3, (8, channels, 3, 3)),
        drawn.normal(0, 0.3, (8, 8, 3, 3)),
        drawn.normal(0, 1, (8, n_labels)),
    )
    kept = [
        numpy_helper.from_array(value.astype(helper.tensor_dtype_to_np_dtype(element)), name)
        for name, value in zip(("stem", "inner", "last"), kernel, strict=True)
    ]
    convolution: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["images", "stem"], ["a"], **convolution),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "inner"], ["c"], **convolution),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "last"], ["h"]),
        helper.make_node({"logits": "Identity", "probabilities": "Softmax", "nothing": "Log"}[gives], ["h"], ["out"]),
    ]
    shape = [batch, channels, size, size]
    taken = [helper.make_tensor_value_info("images", element, shape)]
    taken += [helper.make_tensor_value_info(f"more_{n}", element, [1]) for n in range(inputs - 1)]
    given = [helper.make_tensor_value_info("out", element, [batch, n_labels])]
    graph = helper.make_graph(nodes, "residual", taken, given, kept)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, file)
    return file
