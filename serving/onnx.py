"""Opens ONNX models."""

from pathlib import Path

import onnxruntime

from serving import external_data


def session(file: Path) -> onnxruntime.InferenceSession:
    """Load a model for one thread: a worker scales by processes, and their threads would compete for the cores.

    ONNX Runtime looks for tensors in other files from the folder of this one. Raises ExternalDataRefused for others.
    """
    external_data.files(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors only: it warns of each initializer that it folds
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
