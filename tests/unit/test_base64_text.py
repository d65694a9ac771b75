"""Which forms of base64 are taken, and what is said of what is none."""

from base64 import b64encode, encodebytes, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from serving.base64_text import Base64Encoder


@given(st.binary(max_size=300))
def test_the_usual_forms_say_the_same(data: bytes) -> None:
    plain = b64encode(data)
    forms = [
        plain,
        encodebytes(data),
        encodebytes(data).replace(b"\n", b"\r\n  "),
        urlsafe_b64encode(data),
        plain.rstrip(b"="),
        urlsafe_b64encode(data).rstrip(b"="),
        b"data:image/png;base64," + plain,
        b"DATA:;Base64," + quote(plain).encode(),
        b"data:image/png;charset=utf-8;base64," + encodebytes(data),
        b" \n" + plain + b"\n",
    ]
    assert {Base64Encoder.decode(form) for form in forms} == {data}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("YQ==YQ==", "character 3 is the padding ="),
        ("YWJj ZGVm", "character 5 is a space, perhaps a +"),
        ("Y*Jj", "character 2 is '*'"),
        ("Yé", "character 2 is outside ASCII"),
        ("YWJjZ", "base64 never has 5 characters"),
        ("YQ=", "cut off"),
        ("data:image/png,YQ==", "must begin like data:image/png;base64,"),
        ("data:image/png;base64", "must begin like data:image/png;base64,"),
        ("https://example.com/cat.png", "not its URL"),
    ],
)
def test_what_is_no_base64_is_said_with_the_remedy(text: str, words: str) -> None:
    with pytest.raises(PydanticCustomError) as refusal:
        Base64Encoder.decode(text.encode())
    assert words in str(refusal.value)
    assert "inary" not in str(refusal.value)


@given(st.binary(max_size=60))
def test_nothing_is_skipped(data: bytes) -> None:
    """What is taken holds every character but line breaks, and spaces beside them."""
    try:
        decoded = Base64Encoder.decode(data)
    except PydanticCustomError:
        return
    if data[:5].lower() != b"data:":
        kept = b"".join(map(bytes.strip, data.splitlines())).rstrip(b"=")
        assert len(decoded) == len(kept) * 3 // 4
