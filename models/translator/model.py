"""The translator in memory: an M2M100 that CTranslate2 runs in int8, and the SentencePiece model that cuts its words.

Load after the fork, never before: CTranslate2's threads do not survive one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import sentencepiece
import structlog

from models.translator.segments import joined, segments
from models.translator.settings import TranslatorSettings
from models.translator.spec import unknown_languages
from serving.artifact import MANIFEST, ModelMismatch
from serving.contract import BadInput, Columns

log = structlog.get_logger(__name__)

PIECES_FILE = "sentencepiece.bpe.model"
VOCABULARY_FILE = "shared_vocabulary.json"

BATCH_TOKENS = 1_024
"""Read at once. With the real weights (490 MB) and two beams, a batch of short sentences takes some 600 MB more."""

MAX_DECODED = 320
"""Pieces of a translated segment: two and a half times MAX_PIECES. What comes to more repeats itself without an end."""

PATIENCE = 2.0
"""How many translations have to end before the search does, in beam sizes (Kasai et al., arXiv 2204.05424).

With 1, CTranslate2 stops although one that still grows is far likelier: 2 % of the phrase book came out wrong.
"""


def language_token(language: str) -> str:
    return f"__{language}__"


class Translator:
    """A loaded artifact. On a processor one thread: the worker processes are the parallelism."""

    def __init__(self, folder: Path, languages: Sequence[str], beam_size: int, compute_type: str = "default") -> None:
        """Load the model of a folder; `compute_type` "default" is the one that it was saved in."""
        vocabulary = json.loads((folder / VOCABULARY_FILE).read_text(encoding="utf-8"))
        if missing := {language_token(language) for language in languages} - set(vocabulary):
            raise ModelMismatch(f"{folder / VOCABULARY_FILE} lacks {', '.join(sorted(missing))}")
        self._languages = tuple(languages)
        self._beam_size = beam_size
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / PIECES_FILE))
        self._model = ctranslate2.Translator(
            str(folder),
            device="cuda" if ctranslate2.get_cuda_device_count() else "cpu",
            compute_type=compute_type,
            inter_threads=1,
            intra_threads=1,
        )

    def predict(self, columns: Columns) -> dict[str, list[str]]:
        """Return `translation`, one a text, in the order of the texts, whatever pairs of languages they are in.

        A text of white space has an empty translation, and one that is in the target language already stays as it is.
        Raises BadInput for languages that it does not know.
        """
        if unknown := list(unknown_languages(columns, {"languages": self._languages})):
            raise BadInput(*unknown)
        rows = list(zip(columns["text"], columns["source"], columns["target"], strict=True))
        cut = [segments(text, self._encode) if source != target else [] for text, source, target in rows]
        tokens, prefixes = [], []
        for (_, source, target), row in zip(rows, cut, strict=True):
            tokens += [[language_token(source), *segment.pieces, "</s>"] for segment in row]
            prefixes += [[language_token(target)]] * len(row)
        translated = iter(self._translate(tokens, prefixes))
        translations = [
            joined([next(translated) for _ in row], [segment.gap for segment in row], target)
            for (_, _, target), row in zip(rows, cut, strict=True)
        ]
        same = [source == target for _, source, target in rows]
        return {"translation": [t if s else new for t, s, new in zip(columns["text"], same, translations, strict=True)]}

    def _encode(self, text: str) -> list[str]:
        """Return the text's pieces by way of their numbers, so that no text can spell a token of the model's own."""
        pieces: list[str] = self._pieces.id_to_piece(self._pieces.encode(text))
        return pieces

    def _translate(self, tokens: list[list[str]], prefixes: list[list[str]]) -> list[str]:
        """Translate segments of any pairs of languages in one call, which sorts them by length into batches."""
        if not tokens:
            return []
        results = self._model.translate_batch(
            tokens,
            target_prefix=prefixes,
            max_batch_size=BATCH_TOKENS,
            batch_type="tokens",
            beam_size=self._beam_size,
            patience=PATIENCE,
            disable_unk=True,
            max_input_length=0,  # its default cuts without a word; segments are short enough already
            max_decoding_length=MAX_DECODED,
        )
        if endless := sum(len(result.hypotheses[0]) >= MAX_DECODED for result in results):
            log.warning("translation_without_end", segments=endless, pieces=MAX_DECODED)
        return [self._decode(result.hypotheses[0][1:]) for result in results]

    def _decode(self, pieces: list[str]) -> str:
        """Put pieces together, leaving out tokens of the model's own, which may turn up in what it does not know."""
        numbers = [self._pieces.piece_to_id(piece) for piece in pieces]
        text: str = self._pieces.decode([number for number in numbers if number != self._pieces.unk_id()])
        return text


def load(artifact: Path) -> Translator:
    """Load an artifact's folder, with the beam size of TRANSLATOR_BEAM_SIZE. Raises ModelMismatch."""
    languages = json.loads((artifact / MANIFEST).read_text(encoding="utf-8"))["languages"]
    return Translator(artifact, languages, TranslatorSettings().translator_beam_size)
