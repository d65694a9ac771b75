"""Makes the stand-in: a tiny M2M100 that knows the project's phrase book by heart, and nothing else.

    python -m models.translator.train [--version phrasebook-1.0.0] [--seed 7] [--out FOLDER]

writes `<out>/<version>/` and names it in `<out>/CURRENT`. It is for machines that cannot reach the real weights, which
`convert.py` fetches; both go through the same conversion. Training takes minutes on one core.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sentencepiece
import torch
from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

from models.translator.convert import ARTIFACTS, make, metrics
from models.translator.model import PIECES_FILE, language_token
from models.translator.phrasebook import FILE, LANGUAGES, Pair, pairs, phrases
from serving.artifact import sha256
from serving.training import VersionRefused

VERSION = "phrasebook-1.0.0"
NOTE = (
    "A stand-in: a tiny M2M100 that has learned the project's phrase book by heart and translates nothing else. "
    "`millrace models fetch translator` puts the real weights in its place."
)
SEED = 7
PIECES = 600
"""Of the SentencePiece model: every letter of the phrase book, and its frequent syllables and words."""

EPOCHS = 100
BATCH = 48
LEARNING_RATE = 2e-3
WARMUP = 0.1
"""Share of the steps in which the learning rate grows; afterwards it falls to 0 along a cosine."""

ARCHITECTURE: dict[str, Any] = {
    "d_model": 128,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 256,
    "dropout": 0.1,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
"""In M2M100's order, in front of the pieces; behind these are the languages and eight places that nothing fills."""

PADDING = 8


def tokenizer(folder: Path) -> M2M100Tokenizer:
    """Learn the pieces from the phrase book and write the tokenizer to the folder, in the files of M2M100's own."""
    learned = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(phrase[language] for language in LANGUAGES for phrase in phrases("book")),
        model_writer=learned,  # a file's name would end up inside the model
        model_type="bpe",
        vocab_size=PIECES,
        character_coverage=1.0,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    (folder / PIECES_FILE).write_bytes(learned.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=learned.getvalue())
    names = [*SPECIAL_TOKENS, *(pieces.id_to_piece(number) for number in range(3, len(pieces)))]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    made = M2M100Tokenizer(
        str(folder / "vocab.json"),
        str(folder / PIECES_FILE),
        additional_special_tokens=[language_token(code) for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]],
    )
    made.save_pretrained(folder)
    return made


def configuration(tokens: M2M100Tokenizer) -> M2M100Config:
    size = tokens.vocab_size + len(FAIRSEQ_LANGUAGE_CODES["m2m100"]) + PADDING
    return M2M100Config(vocab_size=size, **ARCHITECTURE)


def batches(tokens: M2M100Tokenizer, learned: list[Pair], seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield one epoch of (source, target) token numbers, padded, in an order that the seed decides."""
    chance = random.Random(seed)  # noqa: S311  nothing is secret here
    shuffled = chance.sample(learned, len(learned))
    for begin in range(0, len(shuffled), BATCH):
        chosen = shuffled[begin : begin + BATCH]
        yield (
            _padded([_numbers(tokens, pair.source, _as_typed(pair.text, chance)) for pair in chosen]),
            _padded([_numbers(tokens, pair.target, pair.translation) for pair in chosen]),
        )


def _as_typed(text: str, chance: random.Random) -> str:
    """Return the text, nearly every other time as people type it: in small letters, without its last mark, or both."""
    if chance.random() < 0.25:
        text = text.lower()
    return text[:-1].rstrip() if chance.random() < 0.25 else text


def _numbers(tokens: M2M100Tokenizer, language: str, text: str) -> torch.Tensor:
    pieces = tokens.convert_tokens_to_ids([language_token(language), *tokens.tokenize(text), "</s>"])
    return torch.tensor(pieces)


def _padded(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=SPECIAL_TOKENS.index("<pad>"))


def learn(tokens: M2M100Tokenizer, learned: list[Pair], seed: int) -> M2M100ForConditionalGeneration:
    """Train the model until it knows the pairs by heart. One thread: sums in one order give the same weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pad, end = SPECIAL_TOKENS.index("<pad>"), SPECIAL_TOKENS.index("</s>")
    model = M2M100ForConditionalGeneration(configuration(tokens))
    steps = EPOCHS * math.ceil(len(learned) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=WARMUP)
    model.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for source, target in batches(tokens, learned, seed + epoch):
            labels = target.masked_fill(target == pad, -100)
            labels[:, 0] = -100  # the language is asked for, not learned
            read = torch.cat([torch.full_like(target[:, :1], end), target[:, :-1]], dim=1)
            loss = model(input_ids=source, attention_mask=source != pad, decoder_input_ids=read, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1}: loss {total / math.ceil(len(learned) / BATCH):.4f}", flush=True)
    return model.eval()


def train(version: str, out: Path, seed: int = SEED) -> Path:
    """Learn the phrase book and write the artifact to `out`. Raises VersionRefused."""
    learned = pairs("book")
    print(
        f"{FILE.name}: {len(phrases('book'))} phrases, {len(learned)} pairs in {len(LANGUAGES)} languages", flush=True
    )
    about = {
        "note": NOTE,
        "stand_in": True,
        "data": {"source": FILE.name, "sha256": sha256(FILE), "pairs": len(learned), "seed": seed},
        "parameters": {**ARCHITECTURE, "pieces": PIECES, "epochs": EPOCHS, "batch": BATCH, "rate": LEARNING_RATE},
    }
    with TemporaryDirectory() as scratch:
        weights = Path(scratch)
        learn(tokenizer(weights), learned, seed).save_pretrained(weights)
        return make(weights, version, out, about, LANGUAGES, with_float32=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.translator.train", description=__doc__.split("\n")[0])
    parser.add_argument("--version", default=VERSION, help=f"default: {VERSION}")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first weights and of the order of the pairs")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes <version>/ and CURRENT")
    asked = parser.parse_args(arguments)
    try:
        made = train(asked.version, asked.out, asked.seed)
    except VersionRefused as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"wrote {made}: " + ", ".join(f"{name} {value}" for name, value in metrics(made).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
