"""The kinds of request, as data: where each goes, what is in it, and what its answer says.

A new endpoint is one line in KINDS and the function that makes its body.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

VOCABULARY = (
    "the a puck goal match engine orbit launch shuttle faith belief graphics render window driver patient doctor "
    "diet court law team season player motor gear bike price sale offer key cipher secret evidence church armour"
)

AnswerKind = Literal["task", "score"]

TASK = "/task/{task_id}"


@dataclass(frozen=True)
class RequestKind:
    path: str
    body: Callable[[Random, int], Any]
    """Makes a JSON body with so many inputs."""
    answers: AnswerKind
    """task: 202 with an id, and the score comes later. score: 200 with the score."""
    follow: str = ""
    """Where to ask for the task until it has ended. Millrace holds the line meanwhile."""


def _report(rng: Random) -> dict[str, Any]:
    return {
        "abuse_type": rng.choice(("MSG", "PRF")),
        "report_text_len": rng.randrange(1000),
        "profile_rating": rng.randrange(51) / 10,
        "popularity": rng.randrange(6),
        "lifetime_matches_created": rng.randrange(500),
    }


def _reports(rng: Random, size: int) -> Any:
    return [_report(rng) for _ in range(size)]


def _one_report(rng: Random, size: int) -> Any:
    return _report(rng)


def _sentence(rng: Random) -> str:
    return " ".join(rng.choices(VOCABULARY.split(), k=rng.randrange(6, 24)))


def _text(rng: Random, size: int) -> Any:
    return {"text": _sentence(rng)}


def _translation(rng: Random, size: int) -> Any:
    records = [{"id": str(number), "text": _sentence(rng)} for number in range(size)]
    return {"payload": {"fromLang": "en", "records": records, "toLang": "ja"}}


def _image(rng: Random, size: int) -> Any:
    image = base64.b64encode(_png(rng)).decode()
    return {"data": {"B64Image": {"image": image}}, "inference_type": {"ImageClassification": {"top_n": 5}}}


def _burn(rng: Random, size: int) -> Any:
    return [{"cycles": 10_000_000, "number": rng.randrange(10**6)} for _ in range(size)]


def _bento(rng: Random, size: int) -> Any:
    return {"reports": _reports(rng, size)}


def _png(rng: Random, side: int = 8) -> bytes:
    """Return a grey picture of random pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + rng.randbytes(side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


KINDS: dict[str, RequestKind] = {
    "submit": RequestKind("/submit", _reports, "task"),
    "submit-low": RequestKind("/submit?priority=low", _reports, "task"),
    "submit-wait": RequestKind("/submit", _reports, "task", follow=TASK),
    "predict": RequestKind("/predict", _one_report, "score"),
    "predict-high": RequestKind("/predict?priority=high", _one_report, "score"),
    "prediction": RequestKind("/prediction", _text, "score"),
    "translation": RequestKind("/translation", _translation, "score"),
    "inference": RequestKind("/inference", _image, "score"),
    "bento-submit": RequestKind("/score/submit", _bento, "task"),
    "bento-score": RequestKind("/score/submit", _bento, "task", follow="/score/status?task_id={task_id}"),
    "burn": RequestKind("/models/burn/submit", _burn, "task", follow=TASK),
    "burn-sync": RequestKind("/burn", _burn, "score"),
}


class UnknownKind(Exception):
    """No such kind of request."""


def kind(name: str) -> RequestKind:
    """Raises UnknownKind."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKind(f"there is no kind of request {name!r}; there is: {', '.join(KINDS)}") from None


def body(name: str, size: int, rng: Random) -> bytes:
    return json.dumps(kind(name).body(rng, size), separators=(",", ":")).encode()
