"""Tells whether a text shows anything: invisible characters are no text to a model, like white space."""

import re

INVISIBLE = (
    r"\s"
    r"\x00-\x08\x0e-\x1b\x7f-\x9f"  # controls
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen, joiners, fillers, Mongolian selectors
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f"  # zero width, marks of direction, invisible operators
    r"\u2800\u3164\ufeff\uffa0\ufff0-\ufffb"  # blank Braille, fillers, byte order mark, annotations
    r"\ufe00-\ufe0f"  # variation selectors
    # Joiners of hieroglyphs, controls of shorthand and music, tags, and more selectors.
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's white space, controls, Default_Ignorable_Code_Point, and characters that are drawn as nothing. For a class
of a regular expression. https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt"""

BLANK = "Holds only white space and invisible characters; send a text with visible characters"

_VISIBLE = re.compile(f"[^{INVISIBLE}]")


def is_blank(text: str) -> bool:
    """Return whether a person would see nothing in the text."""
    return _VISIBLE.search(text) is None
