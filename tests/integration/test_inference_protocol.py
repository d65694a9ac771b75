"""The Open Inference Protocol, spoken by Triton's own client: every model, in JSON and in binary."""

import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from serving import artifact, catalogue
from serving.contract import Column, Spec
from tests.conftest import NewClient
from tests.running import REPORT, ROOT, Platform, eventually, handler

TYPES: dict[str, Any] = {
    "text": np.object_,
    "bytes": np.object_,
    "integer": np.int32,
    "bigint": np.int64,
    "double": np.float64,
    "boolean": np.bool_,
}


@pytest.fixture
def client(platform: Platform) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{platform.port}", network_timeout=60) as client:
        yield client


def tensors(spec: Spec, rows: list[dict[str, Any]], *, binary: bool) -> list[triton.InferInput]:
    """Make Triton's inputs of a model's golden rows."""
    made = []
    for column in spec.input_columns:
        if all(column.name in row and row[column.name] is not None for row in rows):
            values = [value(column, row[column.name], binary=binary) for row in rows]
            data = np.array(values, TYPES[column.kind])
            tensor = triton.InferInput(column.name, list(data.shape), np_to_triton_dtype(data.dtype))
            tensor.set_data_from_numpy(data, binary_data=binary)
            made.append(tensor)
    return made


def value(column: Column, given: Any, *, binary: bool) -> Any:
    """Bytes travel as they are in binary, as base64 in JSON."""
    if column.kind == "bytes":
        return b64decode(given) if binary else given.encode()
    return given.encode() if column.kind == "text" else given


def golden(model: str, number: int = 3) -> list[dict[str, Any]]:
    return [row["input"] for row in artifact.current(model).golden()][:number]


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
@pytest.mark.parametrize("model", list(catalogue.specs()))
def test_tritons_client_gets_what_a_submission_gives(
    platform: Platform, client: triton.InferenceServerClient, model: str, binary: bool
) -> None:
    rows = golden(model)
    spec = catalogue.specs()[model]
    submitted = platform.finished(platform.client.post(f"/models/{model}/submit", json=rows).json()["task_id"])
    outputs = [triton.InferRequestedOutput(column.name, binary_data=binary) for column in spec.output_columns]
    result = client.infer(model, tensors(spec, rows, binary=binary), outputs=outputs, request_id="7")
    assert result.get_response()["id"] == "7"
    for column in spec.output_columns:
        expected, found = submitted[column.name], result.as_numpy(column.name)
        if column.kind.startswith("text"):
            plain = np.vectorize(lambda item: item.decode() if isinstance(item, bytes) else item)(found).tolist()
            assert plain == expected
        else:
            assert np.allclose(found, np.array(expected))


def test_without_wishes_all_outputs_come_in_binary(client: triton.InferenceServerClient) -> None:
    result = client.infer("report_scorer", tensors(catalogue.specs()["report_scorer"], [REPORT] * 2, binary=True))
    assert result.as_numpy("score").shape == (2,)
    assert result.get_response()["parameters"]["task_id"]


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_compressed_requests_are_read_and_answered_plainly(client: triton.InferenceServerClient, how: str) -> None:
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT] * 50, binary=True)
    result = client.infer(
        "report_scorer", inputs, request_compression_algorithm=how, response_compression_algorithm=how
    )
    assert result.as_numpy("score").shape == (50,)


def test_outputs_are_chosen_and_ordered_and_a_missing_key_is_empty(client: triton.InferenceServerClient) -> None:
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT] * 2, binary=True)
    for binary in (True, False):
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("report_id", "score")]
        result = client.infer("report_scorer", inputs, outputs=wanted)
        assert [output["name"] for output in result.get_response()["outputs"]] == ["report_id", "score"]
        assert [str(key or b"", "utf-8") if binary else key for key in result.as_numpy("report_id")] == ["", ""]


def test_health_metadata_and_index_are_as_the_client_expects(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for name, spec in catalogue.specs().items():
        version = artifact.current(name).version
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, version)
        metadata = client.get_model_metadata(name, version)
        assert metadata["versions"] == [version]
        assert [tensor["name"] for tensor in metadata["inputs"]] == list(spec.input.model_fields)
    index = client.get_model_repository_index()
    assert [(model["name"], model["state"]) for model in index] == [(name, "READY") for name in catalogue.specs()]


def test_floats_of_32_bits_and_shapes_of_one_column_are_taken(client: triton.InferenceServerClient) -> None:
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT], binary=True)
    rating = triton.InferInput("profile_rating", [1, 1], "FP32")
    rating.set_data_from_numpy(np.array([[4.2]], np.float32))
    wide = triton.InferInput("popularity", [1], "INT64")
    wide.set_data_from_numpy(np.array([3]))
    half = triton.InferInput("profile_rating", [1], "FP16")
    half.set_data_from_numpy(np.array([4.2], np.float16))
    others = [tensor for tensor in inputs if tensor.name() not in ("profile_rating", "popularity")]
    assert client.infer("report_scorer", [*others, half, wide]).as_numpy("score").shape == (1,)
    assert client.infer("report_scorer", [*others, rating, wide]).as_numpy("score").shape == (1,)


def test_the_clients_errors_are_the_servers_words(client: triton.InferenceServerClient) -> None:
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT], binary=False)
    for model, version, given, outputs, words in [
        ("nonsense", "", inputs, None, "Unknown model 'nonsense'"),
        ("report_scorer", "9", inputs, None, "no version '9'"),
        ("report_scorer", "", inputs[1:], None, "Input 'abuse_type': missing; send it as BYTES"),
        ("report_scorer", "", inputs, [triton.InferRequestedOutput("nope")], "Output 'nope': unknown"),
    ]:
        with pytest.raises(InferenceServerException, match=words):
            client.infer(model, given, model_version=version, outputs=outputs)


@pytest.mark.parametrize(("language", "program"), [("python", [sys.executable, "-c"]), ("sh", ["/bin/sh", "-c"])])
def test_the_examples_of_the_page_run(platform: Platform, language: str, program: list[str]) -> None:
    page = (ROOT / "docs" / "reference" / "inference-protocol.md").read_text(encoding="utf-8")
    (example,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    here = example.replace("127.0.0.1:8081", f"127.0.0.1:{platform.port}")
    done = subprocess.run([*program, here], capture_output=True, text=True, timeout=60)
    assert "hockey" in done.stdout, done.stderr


def test_a_key_opens_what_health_leaves_closed(closed: Platform, new_client: NewClient) -> None:
    header = {"Authorization": new_client().headers["Authorization"]}
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT], binary=True)
    with triton.InferenceServerClient(f"127.0.0.1:{closed.port}", network_timeout=60) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert not client.is_model_ready("report_scorer")
        with pytest.raises(InferenceServerException, match="API key missing; send the header"):
            client.infer("report_scorer", inputs)
        assert client.is_model_ready("report_scorer", headers=header)
        task = client.infer("report_scorer", inputs, headers={**header}).get_response()["parameters"]["task_id"]
    assert closed.client.get(f"/task/{task}").status_code == 401
    assert closed.client.get(f"/task/{task}", headers=header).json()["status"] == "SUCCESS"


def test_what_takes_too_long_is_a_504_that_names_the_task(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Nobody works here, and the model is not ready."""
    with handler(database_url, redis_url, tmp_path, ANSWER_WAIT_SECONDS="0.2") as alone:
        inputs = tensors(catalogue.specs()["report_scorer"], [REPORT] * 3, binary=True)
        with triton.InferenceServerClient(f"127.0.0.1:{alone.port}") as client:
            assert client.is_server_ready()
            assert not client.is_model_ready("report_scorer")
            assert client.get_model_repository_index()[0]["state"] == "UNAVAILABLE"
            assert alone.client.post("/v2/repository/index", json={"ready": True}).json() == []
            with pytest.raises(InferenceServerException, match=r"^\[504\] Not scored within 0\.2 s") as late:
                client.infer("report_scorer", inputs)
        (task,) = re.findall(r"/task/[0-9a-f-]{36}", str(late.value))
        stored = alone.client.get(task).json()
        assert (stored["status"], stored["n_inputs"]) == ("PENDING", 3)


def test_a_task_that_was_cancelled_while_it_was_waited_for_is_named(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with handler(database_url, redis_url, tmp_path) as alone, ThreadPoolExecutor() as threads:

        def ask() -> InferenceServerException:
            inputs = tensors(catalogue.specs()["report_scorer"], [REPORT], binary=True)
            with triton.InferenceServerClient(f"127.0.0.1:{alone.port}", network_timeout=60) as client:
                with pytest.raises(InferenceServerException) as ended:
                    client.infer("report_scorer", inputs)
                return ended.value

        asked = threads.submit(ask)
        (task,) = eventually(lambda: alone.client.get("/tasks").json()["tasks"])
        alone.client.post(f"/task/{task['task_id']}/cancel")
        assert f"Task {task['task_id']} is REVOKED" in str(asked.result(timeout=30))
