"""The Open Inference Protocol, spoken by Triton's own client: every model, in JSON and in binary."""

import gzip
import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from models import artifact, catalogue
from models.contract import Column, Spec
from tests.running import REPORT, Platform

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
def test_compressed_requests_are_read(client: triton.InferenceServerClient, how: str) -> None:
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT] * 50, binary=True)
    result = client.infer("report_scorer", inputs, request_compression_algorithm=how)
    assert result.as_numpy("score").shape == (50,)


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
    others = [tensor for tensor in inputs if tensor.name() not in ("profile_rating", "popularity")]
    assert client.infer("report_scorer", [*others, rating, wide]).as_numpy("score").shape == (1,)


def test_the_clients_errors_are_the_servers_words(client: triton.InferenceServerClient) -> None:
    inputs = tensors(catalogue.specs()["report_scorer"], [REPORT], binary=False)
    for model, version, given, outputs, words in [
        ("nonsense", "", inputs, None, "There is no model 'nonsense'"),
        ("report_scorer", "9", inputs, None, "no version '9'"),
        ("report_scorer", "", inputs[1:], None, "#/inputs/abuse_type/0: Field required"),
        ("report_scorer", "", inputs, [triton.InferRequestedOutput("nope")], "Output 'nope': unknown"),
    ]:
        with pytest.raises(InferenceServerException, match=words):
            client.infer(model, given, model_version=version, outputs=outputs)


def infer(platform: Platform, content: bytes, **headers: str) -> httpx.Response:
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
    return platform.client.post("/v2/models/report_scorer/infer", content=content, headers=given)


def asked(**changes: Any) -> bytes:
    tensor = {"name": "popularity", "datatype": "INT32", "shape": [1], "data": [3], **changes}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 422, "not valid JSON"),
        (b"[]", 422, "no inference request"),
        (b'{"inputs": 1}', 422, "#/inputs"),
        (asked(name="nonsense"), 422, "Input 'nonsense': unknown; the inputs are abuse_type"),
        (asked(datatype="FP64"), 422, "datatype 'FP64' cannot be read as INT32"),
        (asked(shape=[2]), 422, "1 elements do not fill the shape [2]"),
        (asked(shape=[1, 2]), 422, "must be [inputs] or [inputs, 1]"),
        (asked(shape=[-1]), 422, "whole numbers"),
        (asked(data=None), 422, "data must be a list"),
        (asked(parameters={"binary_data_size": 4}), 422, "binary_data_size is 4, and 0 bytes are left"),
        (asked(data=["x"]), 422, "#/inputs/popularity/0: Input should be a valid integer"),
        (asked() + b"tail", 422, "not valid JSON"),
    ],
)
def test_malformed_requests_are_answered_with_an_error(
    platform: Platform, content: bytes, status: int, words: str
) -> None:
    answer = infer(platform, content)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def test_lengths_and_codings_that_lie_are_refused(platform: Platform) -> None:
    assert "of a body of" in infer(platform, asked(), Inference_Header_Content_Length="9999").json()["error"]
    assert infer(platform, asked(), Inference_Header_Content_Length="x").status_code == 422
    assert "is not gzip" in infer(platform, asked(), Content_Encoding="gzip").json()["error"]
    assert infer(platform, asked(), Content_Encoding="br").status_code == 415
    bomb = infer(platform, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    assert (bomb.status_code, "Unpacked" in bomb.json()["error"]) == (413, True)
    assert infer(platform, asked(), Content_Type="text/plain").status_code == 415


def test_errors_beside_the_endpoints_are_of_the_same_shape(platform: Platform) -> None:
    for answer in (platform.client.get("/v2/nonsense"), platform.client.get("/v2/models/report_scorer/infer")):
        assert answer.status_code in (404, 405)
        assert list(answer.json()) == ["error"]
