"""The text classifier's data: which files are refused, and that nothing related is on both sides of the split."""

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.text_classifier.dataset import related, split
from models.text_classifier.evaluate import measure
from models.text_classifier.texts_file import read_texts
from serving.training import BadTrainingData
from tests.unit.labelled_texts import LABELS, dataset, text, texts, write

BAD_LINES = {
    "not JSON": (b"text, label", "line 31: Not valid JSON"),
    "cut off": (b'{"text": "a b c", "lab', "line 31: Not valid JSON"),
    "no object": (b"[1, 2]", "line 31: Must be an object, not an array"),
    "no label": ({"text": "a b c"}, "line 31, field label: Required field is missing"),
    "no text": ({"label": "sea"}, "line 31, field text: Required field is missing"),
    "empty text": ({"text": "", "label": "sea"}, "line 31, field text: Must have at least 1 character"),
    "blank text": ({"text": " \n", "label": "sea"}, "line 31, field text: Holds only white space and invisible"),
    "empty label": ({"text": "a b", "label": ""}, "line 31, field label: Must have at least 1 character"),
    "null": ({"text": None, "label": "sea"}, "line 31, field text: Must be a string, not null"),
    "number": ({"text": "a b", "label": 3}, "line 31, field label: Must be a string, not 3"),
    "NUL": ({"text": "a\0b", "label": "sea"}, "line 31, field text: Must not contain the character NUL"),
    "too long": ({"text": "x" * 100_001, "label": "sea"}, "line 31, field text: Must have at most 100000 characters"),
    "not UTF-8": (
        b'{"text": "caf\xe9", "label": "sea"}',
        "line 31: Not valid JSON: it is not UTF-8; send UTF-8 (column 14)",
    ),
    "half a character": (b'{"text": "a \\ud800 b", "label": "sea"}', "line 31"),
}


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_bad_line_is_named(tmp_path: Path, kind: str, suffix: str) -> None:
    bad, words = BAD_LINES[kind]
    rows: list[Any] = texts(30)
    file = write([*rows[:30], bad, *rows[30:]], tmp_path / f"texts.{suffix}")
    with pytest.raises(BadTrainingData, match=re.escape(f"{file}, {words}")) as refusal:
        read_texts(file)
    assert "\n" not in str(refusal.value)


def test_further_fields_and_empty_lines_are_left_alone(tmp_path: Path) -> None:
    rows = texts(30)
    plain = read_texts(write(list(rows), tmp_path / "plain.jsonl"))
    more = read_texts(write([b"", *({**row, "id": 1} for row in rows), b"  "], tmp_path / "more.jsonl"))
    assert more.texts == plain.texts
    assert more.labels.tolist() == plain.labels.tolist()


def test_the_ending_of_a_name_may_be_in_capitals(tmp_path: Path) -> None:
    lines = b"\n".join(json.dumps(row).encode() for row in texts(30))
    (tmp_path / "TEXTS.JSONL").write_bytes(lines)
    (tmp_path / "TEXTS.JSONL.GZ").write_bytes(gzip.compress(lines))
    plain, packed = map(read_texts, sorted(tmp_path.iterdir()))
    assert plain.texts == packed.texts


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"\n".join(json.dumps(row).encode() for row in texts(30)))
    for name, content, words in (
        ("absent.jsonl", None, "there is no such file"),
        ("texts.csv", b"", "must end in .jsonl or .jsonl.gz"),
        ("empty.jsonl", b"\n", "there is nothing in it"),
        ("plain.jsonl.gz", b'{"text": "a"}', "this is no gzip file"),
        ("cut.jsonl.gz", whole[: len(whole) // 2], "cut off or damaged"),
        ("broken.jsonl.gz", whole[:100] + b"\0" * 100 + whole[200:], "broken.jsonl.gz"),
    ):
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(BadTrainingData, match=re.escape(words)) as refusal:
            read_texts(file)
        assert str(file) in str(refusal.value)


def test_related_texts_are_one_group() -> None:
    draw = random.Random(5)  # noqa: S311
    one, other, third, fourth = (text("sea", draw) for _ in range(4))
    quoted = "\n".join(f"> {line}" for line in re.findall(r"(?:\S+ ?){10}", one))
    groups = related(
        [
            one,
            f"He wrote:\n{quoted}\nAnd so do I, said nobody so far, for what I know of it.",
            one.upper() + "!",
            f"Subject: Keels\n\n{other}",
            f"From: somebody\nSubject: Re: RE: keels\n\n{third}",
            fourth,
            "?!",
            "...",
        ]
    ).tolist()
    assert len({groups[0], groups[1], groups[2]}) == 1
    assert groups[3] == groups[4]
    assert len(set(groups)) == 5, "texts without words are no copies of one another"


def test_the_split_keeps_groups_together_and_labels_in_proportion() -> None:
    rows = texts(100)
    threads = [{**row, "text": f"Subject: thread {number // 3}\n\n{row['text']}"} for number, row in enumerate(rows)]
    data = dataset(threads)
    rest, held = split(data, seed=3)
    assert not set(rest.groups.tolist()) & set(held.groups.tolist())
    assert sorted([*rest.texts, *held.texts]) == sorted(data.texts)
    for label in LABELS:
        assert 17 <= (held.labels == label).sum() <= 20
    assert held.texts == split(data, seed=3)[1].texts != split(data, seed=4)[1].texts


def test_a_group_too_large_for_the_fifth_is_trained_on() -> None:
    rows = texts(60)
    for number in range(20):
        rows[number]["text"] = f"Subject: storm\n\n{rows[number]['text']}"
    rest, held = split(dataset(rows), seed=1)
    assert sum(text.startswith("Subject: storm") for text in rest.texts) == 20
    assert (held.labels == "sea").sum() == 12


def test_a_perfect_classifier_and_a_guessing_one_are_measured_right() -> None:
    true = np.array(["a", "a", "a", "b"])
    perfect = measure(true, np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]]), ["a", "b"])
    assert (perfect["accuracy"], perfect["macro_f1"], perfect["brier"], perfect["calibration_error"]) == (1, 1, 0, 0)
    assert perfect["log_loss"] < 1e-5
    always_a = measure(true, np.full((4, 2), [0.75, 0.25]), ["a", "b"])
    assert (always_a["accuracy"], always_a["micro_f1"]) == (0.75, 0.75)
    assert always_a["macro_f1"] == pytest.approx(0.5 * 2 * 0.75 / 1.75, abs=1e-5)
    assert always_a["weighted_precision"] == pytest.approx(0.75 * 0.75, abs=1e-5)
    assert always_a["brier"] == pytest.approx(0.75 * 2 * 0.25**2 + 0.25 * 2 * 0.75**2, abs=1e-5)
