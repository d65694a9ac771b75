"""What counts as a text that shows nothing."""

import pytest

from models.text_classifier.spec import blank_texts
from models.translator.segments import segments
from serving.visible import is_blank

INVISIBLE = [
    "",
    " \t\n",
    "\u00a0",
    "\u200b",
    "\ufeff",
    "\u00ad",
    "\ufe0f",
    "\u200e\u200f",
    "\u2028",
    "\u2060",
    "\u3000",
    "\u180e",
    "\u2800",
    "\u3164",
    "\u115f",
    "\U000e0041",
    "\U000e0100",
    "\u034f",
    "\u202e \u202c",
    "\x07",
    "\u061c",
    "\u2066\u2069",
    "\ufff9",
]


@pytest.mark.parametrize("text", INVISIBLE)
def test_what_is_invisible_is_no_text(text: str) -> None:
    assert is_blank(text)
    assert segments(text, list) == []
    assert [fault.position for fault in blank_texts({"text": ["a", text]}, {})] == [1]


@pytest.mark.parametrize("text", [".", "a\u200b", "\u0301", "\u200d❤\ufe0f", "語", "\u0600", "\ufffd", "\ue000", "٣"])
def test_what_is_drawn_is_a_text(text: str) -> None:
    assert not is_blank(text)
    assert segments(text, list) != []


def test_an_invisible_sentence_among_others_leaves_its_line_break() -> None:
    found = segments("One.\n\u200b\nTwo.\n\ufeff", list)
    assert ["".join(segment.pieces) for segment in found] == ["One.", "Two."]
    assert found[0].gap == "\n\n"
