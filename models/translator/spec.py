"""What the translator takes and gives."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.translator.endpoint import TRANSLATION
from serving.contract import NO_NUL, Columns, Fault, Manifest, Spec

MAX_CHARACTERS = 10_000
"""Of one text: some four pages. Longer ones are better sent as several, whose translations arrive in order."""

MAX_BATCH = 2_048
"""Tokens: twice what the model reads at once (see model.py), so that short and long ones can be sorted into batches.

More would only make the first of the merged tasks wait for the last.
"""

_LANGUAGE = Field(
    max_length=16, pattern=NO_NUL, description="Language code, one of those that the model's manifest lists."
)


class Text(BaseModel):
    """A text to be translated."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: Annotated[
        str,
        Field(
            max_length=MAX_CHARACTERS,
            pattern=NO_NUL,
            description="The text; one that is empty or invisible has an empty translation.",
            examples=["Life is like a box of chocolates."],
        ),
    ]
    source: Annotated[str, _LANGUAGE, Field(examples=["en"])]
    target: Annotated[str, _LANGUAGE, Field(examples=["ja"])]
    id: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=NO_NUL,
            description="The caller's own key: stored and returned, never read.",
            examples=["123"],
        ),
    ] = None


class Translation(BaseModel):
    """The text in the target language."""

    translation: Annotated[
        str, Field(description="The text, translated.", examples=["人生はチョコレートの箱のようなものだ。"])
    ]


def unknown_languages(columns: Columns, manifest: Manifest) -> Iterator[Fault]:
    """Yield a fault for each language that the model has not learned: it would translate into gibberish, silently."""
    known = manifest["languages"]
    for position, pair in enumerate(zip(columns["source"], columns["target"], strict=True)):
        for field, language in zip(("source", "target"), pair, strict=True):
            if language not in known:
                detail = f"The model does not know the language {language!r}; it knows {', '.join(known)}"
                yield Fault(position, field, detail)


def tokens(columns: Columns) -> Sequence[int]:
    """Estimate each text's tokens: four bytes of UTF-8 each (part of a word, a Chinese character), and two marks."""
    return [2 + len(text.encode()) // 4 for text in columns["text"]]


SPEC = Spec(
    name="translator",
    title="Translates between languages",
    input=Text,
    output=Translation,
    table="translations",
    key="id",
    max_inputs=1_000,
    time_limit=600,  # with the real weights, a processor's core makes some 150 tokens a second
    max_chunk=128,  # sentences of 20 tokens: some 17 s
    cache=True,
    check=unknown_languages,
    max_batch=MAX_BATCH,
    input_sizes=tokens,
    endpoint=TRANSLATION,
    personal=("text", "translation"),
)
