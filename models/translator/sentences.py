"""Splits a text into sentences, by a rule that a reader can check.

- A line break ends a sentence.
- 。 ！ ？ and their half-width and small forms end one wherever they stand. Behind them, a closing quote or bracket
  ends it only before white space or an opening one: 「はい！」と言った。 is one, 「はい。」「いいえ。」 is two.
- . ! ? … and the marks of other scripts (। ॥ ؟ ۔ ። ։ ။) end one where white space follows, and then no small letter.
- A full stop behind a number of at most two digits, a single letter, or a capitalised word of at most three letters
  ends none: "3. Oktober", "z. B.", "J. Smith", "Dr. No". Nor does it behind a real sentence's short last word ("I met
  Bob. He left."): two sentences taken for one is the smaller harm.

Closing quotes and brackets belong to the sentence that they close.
"""

import re
from typing import NamedTuple

_SPACED = ".!?…।॥؟۔።։။"
_CLOSING = "\"'”’»›」』）】》〉)]"
_OPENING = "「『（【《〈“‘"
BREAKS = "\n\r\v\f\x85\u2028\u2029"

# Each alternative starts where its run of characters starts, so that a hostile text cannot make the search quadratic.
_BOUNDARY = re.compile(
    rf"""
      (?<![。！？｡﹒﹗﹖]) (?P<anywhere> [。！？｡﹒﹗﹖]++ ) (?P<closed> [{re.escape(_CLOSING)}]*+ ) \s*+
    | (?<![{_SPACED}]) (?P<spaced> [{_SPACED}]++ ) [{re.escape(_CLOSING)}]*+ \s++
    | [{BREAKS}] \s*+
    """,
    re.VERBOSE,
)


class Sentence(NamedTuple):
    """A sentence, and the white space between it and the next."""

    text: str
    gap: str


def sentences(text: str) -> list[Sentence]:
    """Split the text; put together again, texts and gaps are the text without the white space around it."""
    text = text.strip()
    found = []
    begin = 0
    for boundary in _BOUNDARY.finditer(text):
        if _ends_a_sentence(text, boundary):
            found.append(_sentence(text[begin : boundary.end()]))
            begin = boundary.end()
    if begin < len(text):
        found.append(Sentence(text[begin:], ""))
    return found


def _sentence(text: str) -> Sentence:
    trimmed = text.rstrip()
    return Sentence(trimmed, text[len(trimmed) :])


def _ends_a_sentence(text: str, boundary: re.Match[str]) -> bool:
    found = boundary.group()
    following = text[boundary.end() : boundary.end() + 1]
    if not following or any(character in BREAKS for character in found):
        return True
    if boundary["anywhere"]:
        return not boundary["closed"] or found[-1].isspace() or following in _OPENING
    return not following.islower() and not (boundary["spaced"] == "." and _is_short(text, boundary.start()))


def _is_short(text: str, end: int) -> bool:
    """Say whether the word before the full stop looks like an abbreviation or an ordinal."""
    word = re.split(r"\W", text[max(0, end - 4) : end])[-1]
    if word.isdigit():
        return len(word) <= 2
    return word.isalpha() and (len(word) == 1 or (len(word) <= 3 and word[0].isupper()))
