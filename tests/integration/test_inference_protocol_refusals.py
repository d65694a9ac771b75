"""Requests of the Open Inference Protocol that are refused: cheaply, in its own shape, and with the tensor's name."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.requests import Request

from handler.http.problem_responses import error_response
from handler.problems import ProblemKind, RequestRefused
from tests.running import REPORT, Platform

MB = 2**20
LENGTH = "Inference-Header-Content-Length"
TENSORS: dict[str, dict[str, Any]] = {
    name: {"name": name, "datatype": kind, "shape": [1], "data": [REPORT[name]]}
    for name, kind in [
        ("abuse_type", "BYTES"),
        ("report_text_len", "INT32"),
        ("profile_rating", "FP64"),
        ("popularity", "INT32"),
        ("lifetime_matches_created", "INT32"),
    ]
}


def infer(platform: Platform, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    given = {"Content-Type": "application/json", **(headers or {})}
    return platform.client.post("/v2/models/report_scorer/infer", content=content, headers=given)


def asked(tensor: str = "popularity", outputs: list[Any] | None = None, **changes: Any) -> bytes:
    """A request that is right but for what is changed of one tensor."""
    inputs = TENSORS | {tensor: TENSORS.get(tensor, {}) | changes}
    return json.dumps({"inputs": list(inputs.values()), "outputs": outputs or []}).encode()


def test_a_request_without_changes_is_answered(platform: Platform) -> None:
    answer = infer(platform, asked())
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == [{"name": "score", "datatype": "FP64", "shape": [1], "data": [0.317635]}]


POPULARITY = "Input 'popularity': "
RATING = "profile_rating"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON: it is empty"),
        (asked() + b"tail", "not valid JSON"),
        (b"[]", "#: Must be an object, not an array"),
        (b'{"inputs": 1}', "#/inputs: Must be an array, not a whole number."),
        (b'{"inputs": [{"name": "\xff"}]}', "not valid JSON"),
        (b'{"inputs": []}', "Input 'abuse_type': missing; send it as BYTES"),
        (json.dumps({"inputs": [TENSORS["popularity"]] * 2}).encode(), POPULARITY + "repeated; send it once"),
        (asked(name="nonsense"), "Input 'nonsense': unknown; the inputs are abuse_type"),
        (asked(datatype="BOOL"), POPULARITY + "datatype 'BOOL' cannot be read as INT32"),
        (asked(datatype="FP64", data=[3.5]), "#/inputs/popularity/0: Must be a whole number, not 3.5"),
        (asked(shape=[2]), POPULARITY + "1 elements do not fill the shape [2]"),
        (asked(shape=[1, 2]), "must be [inputs] or [inputs, 1]"),
        (asked(shape=[]), "must be [inputs] or [inputs, 1]"),
        (asked(shape=[-1]), "whole numbers"),
        (asked(shape=[10**9]), "1000000000 inputs exceed the limit of 10000"),
        (asked(shape=[2], data=[3, 3]), "differ in their first dimension: abuse_type 1"),
        (asked(data=None), POPULARITY + "data must be a list"),
        (asked(data=[[3, 3]], shape=[1, 1]), "each list in data must have 1 elements"),
        (asked(data=[[[3]]]), "an element of data must be a text, a number"),
        (asked(data=[{"a": 3}]), "an element of data must be a text, a number"),
        (asked().replace(b"[3]", b"[" * 500 + b"]" * 500), "an element of data must be a text, a number"),
        (asked(data=["x"]), "#/inputs/popularity/0: Must be a whole number, not the string"),
        (asked(data=[9]), "#/inputs/popularity/0: Must be at most 5, not 9"),
        (asked(parameters={"binary_data_size": 4}), "binary_data_size is 4, and 0 bytes are left"),
        (asked(parameters={"binary_data_size": True}), "binary_data_size is True"),
        (asked(parameters={"shared_memory_region": "here"}), POPULARITY + "shared memory is not supported"),
        (asked(RATING, data=[float("nan")]), "#/inputs/2/data/0: Must be a finite number"),
        (asked(RATING, datatype="INT64", data=[2**53 + 1]), "element 0 is a whole number that FP64 may not hold"),
        (asked(RATING, datatype="INT64", data=[10**400]), "element 0 is a whole number that FP64 may not hold"),
        (asked(RATING, datatype="INT64", data=[True]), "#/inputs/profile_rating/0: Must be a number, not true"),
        (asked(RATING, data=[10**400]), "#/inputs/profile_rating/0: Must be a finite number"),
        (asked(outputs=[{"name": "nope"}]), "Output 'nope': unknown; the outputs are score, report_id"),
        (asked(outputs=[{"name": "score"}] * 2), "Output 'score': requested twice"),
        (asked(outputs=[{"name": "score", "parameters": {"classification": 3}}]), "parameter classification"),
        (asked(data="[" * 100_000), "#/inputs/3/data: Must be an array or null, not a string"),
        (asked().replace(b"[3]", b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
    ],
)
def test_a_malformed_request_is_answered_with_what_is_wrong(platform: Platform, content: bytes, words: str) -> None:
    answer = infer(platform, content)
    assert answer.status_code == 422, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def binary(raw: bytes, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """A request whose one tensor's data are `raw`."""
    size = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [{**TENSORS["popularity"], "data": None, "parameters": size, **changes}]}).encode()
    return head + raw, {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("raw", "changes", "words"),
    [
        (b"123", {}, "3 bytes are not 1 elements of INT32, 4 bytes each"),
        (b"1234", {"parameters": {}}, "data must be a list"),
        (b"1234", {"parameters": {"binary_data_size": 2}}, "2 bytes are not 1"),
        (b"12345678", {"parameters": {"binary_data_size": 4}}, "4 bytes of binary data belong to no tensor"),
        (b"\5\0\0\0ab", {"name": "report_id", "datatype": "BYTES"}, "element 0 is cut off"),
        (b"\2\0\0\0\xff\xff", {"name": "report_id", "datatype": "BYTES"}, "element 0 is not UTF-8"),
        (bytes(8), {"name": "report_id", "datatype": "BYTES"}, "there are more than 1 elements"),
    ],
)
def test_binary_data_that_are_not_what_the_tensor_says_are_refused(
    platform: Platform, raw: bytes, changes: dict[str, Any], words: str
) -> None:
    answer = infer(platform, *binary(raw, **changes))
    assert answer.status_code == 422
    assert words in answer.json()["error"]


def test_lengths_and_codings_that_lie_are_refused(platform: Platform) -> None:
    for length in ("9999", "-1", "x", "+3", "9" * 5000):
        assert "but the body has" in infer(platform, asked(), {LENGTH: length}).json()["error"]
    zipped, gzipped = gzip.compress(asked()), {"Content-Encoding": "gzip"}
    assert infer(platform, zipped, gzipped).status_code == 200
    for content, words in [
        (asked(), "is not valid gzip, which Content-Encoding names"),
        (zipped[:-4], "cut off"),
        (zipped * 2, "follows its end"),
    ]:
        assert words in infer(platform, content, gzipped).json()["error"]
    assert infer(platform, asked(), {"Content-Encoding": "br"}).status_code == 415
    for kind in ("text/plain", "multipart/form-data"):
        assert infer(platform, asked(), {"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("over", [1, 42 * MB])
def test_a_small_body_that_unpacks_to_a_large_one_is_refused(
    platform: Platform, pack: Callable[[bytes], bytes], over: int
) -> None:
    coding = {"Content-Encoding": pack.__module__.replace("zlib", "deflate")}
    body = asked()
    assert infer(platform, pack(body.ljust(8 * MB)), coding).status_code == 200
    bomb = infer(platform, pack(body.ljust(8 * MB + over)), coding)
    assert (bomb.status_code, "Decompressed" in bomb.json()["error"]) == (413, True)


def test_large_nonsense_is_refused_without_being_unfolded(platform: Platform) -> None:
    """Each of these held the handler for seconds, and gigabytes, where every element became an object of its own."""
    many = 8 * MB - 1000
    status = Path(f"/proc/{platform.handler.pid}/status")
    if not status.exists():
        pytest.skip("this system does not say how much memory a program has held")
    before = _most_held(status)
    for content, headers in [
        (b'{"inputs":[' + b"1," * (many // 2) + b"1]}", {}),
        (b'{"inputs":[],"outputs":[' + b"1," * (many // 2) + b"1]}", {}),
        binary(bytes(many), datatype="INT8", shape=[many]),
        binary(bytes(many // 4 * 4), name="report_id", datatype="BYTES", shape=[many // 4]),
        (asked(outputs=[{"name": "score"}] * (many // 20)), {}),
        (asked(name="x" * many), {}),
    ]:
        answer = infer(platform, content, dict(headers))
        assert answer.status_code == 422
        assert len(answer.content) < 1000
    assert _most_held(status) - before < 500 * MB


def _most_held(status: Path) -> int:
    """Return the most bytes that a program has held at once."""
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_errors_beside_the_endpoints_are_of_the_same_shape(platform: Platform) -> None:
    for path in ("/v2/nonsense", "/v2/models/report_scorer/infer", "/v2/models/nonsense/ready"):
        answer = platform.client.get(path)
        assert answer.status_code in (404, 405)
        assert list(answer.json()) == ["error"]
    for content, words in [
        (b'{"ready": 1}', "#/ready: Must be true or false"),
        (b"x", "not valid JSON"),
    ]:
        assert words in platform.client.post("/v2/repository/index", content=content).json()["error"]
    assert platform.client.get("/v2x").headers["content-type"] == "application/problem+json"


def test_a_task_that_failed_is_named() -> None:
    request = Request({"type": "http", "path": "/v2/models/report_scorer/infer", "headers": [], "query_string": b""})
    task = UUID("019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01")
    failed = RequestRefused(ProblemKind.TASK_FAILED, "Scoring failed: X.", task_id=task)
    counted: Counter[str] = Counter()
    assert json.loads(error_response(request, failed, counted).body) == {
        "error": f"Scoring failed: X. It is task {task}."
    }
    assert counted == {"task-failed": 1}
