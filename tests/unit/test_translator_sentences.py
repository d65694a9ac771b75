import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.translator.segments import MAX_PIECES, joined, segments
from models.translator.sentences import sentences

ALPHABET = st.sampled_from("aB3é 。！？」「.!?…\"')\n\r\t\u2028あ中ä़।")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good morning. How are you? Fine!", ["Good morning.", "How are you?", "Fine!"]),
        ("今日は。元気ですか？はい！", ["今日は。", "元気ですか？", "はい！"]),
        ("「はい！」と言った。「いいえ。」「そう。」", ["「はい！」と言った。", "「いいえ。」", "「そう。」"]),
        ("“你好。”他说。再见。", ["“你好。”他说。", "再见。"]),
        ("Title\n\nfirst line\r\nsecond line", ["Title", "first line", "second line"]),
        ('He said "Stop!" and left. (Really.) Yes… no.', ['He said "Stop!" and left.', "(Really.)", "Yes… no."]),
        ("Dr. No met J. Smith on 3. Oktober. He left.", ["Dr. No met J. Smith on 3. Oktober.", "He left."]),
        ("Version 3.14 of www.example.org is out. Get it!", ["Version 3.14 of www.example.org is out.", "Get it!"]),
        ("Wait... What?!  Ok", ["Wait...", "What?!", "Ok"]),
        ("आप कैसे हैं? मैं ठीक हूँ। धन्यवाद।", ["आप कैसे हैं?", "मैं ठीक हूँ।", "धन्यवाद।"]),
        ("no end mark", ["no end mark"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_sentences_end_where_the_rule_says(text: str, expected: list[str]) -> None:
    assert [sentence.text for sentence in sentences(text)] == expected


@given(st.text(ALPHABET, max_size=60))
def test_sentences_and_gaps_are_the_whole_text(text: str) -> None:
    found = sentences(text)
    assert "".join(sentence + gap for sentence, gap in found) == text.strip()
    assert all(sentence.strip() == sentence != "" for sentence, _ in found)


@pytest.mark.parametrize("hostile", [".", " ", ". ", ".)", "。」", "a.'", "\n", " \n", "a "])
def test_a_hostile_text_is_split_in_time_that_grows_with_its_length(hostile: str) -> None:
    """A quadratic rule would take minutes for a text twenty times as long as the longest allowed one."""
    text = hostile * (200_000 // len(hostile)) + "b"
    assert sum(len(sentence + gap) for sentence, gap in sentences(text)) == len(text.strip())


def by_letter(text: str) -> list[str]:
    return list(text)


@given(st.text(ALPHABET, max_size=600))
def test_every_piece_is_in_one_segment_and_no_segment_is_too_long(text: str) -> None:
    cut = segments(text, by_letter)
    assert "".join("".join(segment.pieces) + segment.gap for segment in cut) == text.strip()
    assert all(0 < len(segment.pieces) <= MAX_PIECES for segment in cut)


@pytest.mark.parametrize("length", [1, MAX_PIECES - 1, MAX_PIECES, MAX_PIECES + 1, 3 * MAX_PIECES])
def test_one_long_sentence_is_cut_by_its_pieces(length: int) -> None:
    cut = segments("x" * length, by_letter)
    assert sum(len(segment.pieces) for segment in cut) == length
    assert len(cut) == -(-length // MAX_PIECES)


def test_translated_sentences_are_joined_as_their_language_writes_them() -> None:
    assert joined(["a.", "b.", "c."], ["", "  ", ""], "en") == "a. b. c."
    assert joined(["あ。", "い。"], [" ", ""], "ja") == "あ。い。"
    assert joined(["あ。", "い。", "う。"], ["\n\n", "\r\n", ""], "ja") == "あ。\n\nい。\r\nう。"
    assert joined([], [], "en") == ""
