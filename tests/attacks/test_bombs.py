"""Small bodies that would be large: they cost a refusal, or their own task, and the worker's memory stays as it was."""

import gzip
import socket
import struct
import zlib
from base64 import b64encode
from contextlib import ExitStack, suppress

import psutil  # type: ignore[import-untyped]
from backports import zstd

from handler.http.body import MEMORY_LIMIT
from tests.images import chunk
from tests.processes import resident
from tests.running import REPORT, Platform, eventually

SUBMIT = "/models/image_classifier/submit"
MB = 2**20


def bomb(width: int, height: int, unpacked: int) -> str:
    """A PNG that claims this size and whose pixels unpack to so many bytes: a thousandth of that as a file."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(MB)) for _ in range(unpacked // MB)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    file = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b64encode(file).decode()


def memory(platform: Platform) -> int:
    return max(resident(platform.worker.pid))


def test_an_image_that_claims_to_be_huge_is_refused_by_its_header(platform: Platform) -> None:
    refused = platform.client.post(SUBMIT, json=[{"image": bomb(60_000, 60_000, 1 * MB)}])
    assert refused.status_code == 422
    assert "more than 25,000,000 in all" in refused.text


def test_an_image_that_unpacks_to_more_than_it_claims_costs_no_memory(platform: Platform) -> None:
    before = memory(platform)
    submitted = platform.client.post(SUBMIT, json=[{"image": bomb(8, 8, 300 * MB)}])
    assert submitted.status_code == 202, submitted.text
    platform.finished(submitted.json()["task_id"])  # scored by its 8 x 8 pixels, or failed: it harms itself only
    assert memory(platform) - before < 150 * MB
    assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"


def test_a_compressed_body_is_unpacked_up_to_its_bound(platform: Platform) -> None:
    handler = psutil.Process(platform.handler.pid)
    before = handler.memory_info().rss
    packer = zstd.ZstdCompressor()
    packed_zstd = b"".join(packer.compress(bytes(MB)) for _ in range(1000)) + packer.flush()
    for coding, packed, status in (
        ("gzip", gzip.compress(bytes(400 * MB), 9), 413),
        ("deflate", zlib.compress(bytes(400 * MB), 9), 413),
        ("zstd", packed_zstd, 413),
        ("br", b"", 415),
        ("identity, gzip", b"", 415),
    ):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        assert platform.client.post("/submit", content=packed, headers=headers).status_code == status
    assert handler.memory_info().rss - before < 100 * MB


def test_many_large_bodies_at_once_are_refused_before_they_fill_the_memory(platform: Platform) -> None:
    size = 8 * MB
    handler = psutil.Process(platform.handler.pid)
    before = handler.memory_info().rss
    head = (
        f"POST {SUBMIT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    with ExitStack() as held:
        for _ in range(MEMORY_LIMIT // size + 2):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", platform.port), timeout=10))
            with suppress(ConnectionError):  # the last ones are refused before they have sent all
                connection.sendall(head.encode() + b" " * (size - 1))

        def refused() -> bool:
            answer = platform.client.post("/submit", json=[REPORT] * 2_000)
            return answer.status_code == 503 and answer.headers["retry-after"] == "1"

        eventually(refused)
        assert handler.memory_info().rss - before < MEMORY_LIMIT + 100 * MB
    eventually(lambda: platform.client.post("/submit", json=[REPORT]).status_code == 202)
