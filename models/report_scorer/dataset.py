"""Labelled reports for training: the synthetic data set, whose true probabilities are known, and its splits.

The generator is written out in this folder's README.md. Nobody's reports are in it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import MAX_INTEGER

Array = NDArray[Any]

ROWS = 200_000
SEED = 7
FLIPPED = 0.01
"""Share of labels that the moderator got wrong: no model can see which, so it lowers the ceiling."""

PARTS = (0.6, 0.8)
"""Where calibration and test begin: 60 % trains, 20 % calibrates, 20 % tests."""

MIN_A_CLASS = 20
"""Fewer rows of one class would leave the calibration or the test with hardly any."""


class TooFewRows(ValueError):
    """The data does not hold enough rows of both classes to train, calibrate and test."""


@dataclass(frozen=True)
class ReportDataset:
    """Reports as columns, with one label a row (1 = real abuse).

    `truth` is the probability that each label was drawn with; only the generator knows it. `sha256` is of the
    file that the rows were read from, or of the generated values.
    """

    source: str
    sha256: str
    columns: Mapping[str, Array]
    label: NDArray[np.int64]
    truth: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None
    """How many reports each row stands for; None: for itself."""
    held_out: NDArray[np.bool_] | None = None
    """Which rows test; None: some that are drawn."""

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, index: NDArray[np.int64]) -> "ReportDataset":
        """Return the rows at the given positions, in that order."""
        columns = {name: values[index] for name, values in self.columns.items()}
        truth = None if self.truth is None else self.truth[index]
        weight = None if self.weight is None else self.weight[index]
        held_out = None if self.held_out is None else self.held_out[index]
        return ReportDataset(self.source, self.sha256, columns, self.label[index], truth, weight, held_out)


def split(data: ReportDataset, seed: int) -> tuple[ReportDataset, ReportDataset, ReportDataset]:
    """Deal the rows out to training, calibration and test, each with the same share of positives.

    Where the data says which rows test, only the others are dealt out, in the same proportion. Raises TooFewRows.
    """
    rng = np.random.default_rng([seed, 1])
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for value in (0, 1):
        rows = np.flatnonzero(data.label == value)
        if len(rows) < MIN_A_CLASS:
            raise TooFewRows(f"{data.source}: {len(rows)} rows have the label {value}; at least {MIN_A_CLASS} must")
        for part, dealt in zip(parts, _dealt(data, rng, rows), strict=True):
            part.append(dealt)
    training, calibration, test = (data.rows(rng.permutation(np.concatenate(part))) for part in parts)
    return training, calibration, test


def _dealt(data: ReportDataset, rng: np.random.Generator, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    if data.held_out is None:
        return np.split(rng.permutation(rows), [int(share * len(rows)) for share in PARTS])
    tested, others = rows[data.held_out[rows]], rows[~data.held_out[rows]]
    if not len(tested) or len(others) < 2:
        raise TooFewRows(f"{data.source}: a label is missing among the rows that test, or among the others")
    return [*np.split(rng.permutation(others), [int(len(others) * PARTS[0] / PARTS[1])]), tested]


def synthesize(rows: int = ROWS, seed: int = SEED) -> ReportDataset:
    """Draw reports, their true probabilities of being real abuse, and their labels."""
    rng = np.random.default_rng([seed, 0])
    columns = _reports(rng, rows)
    truth = probability(columns)
    label = (rng.random(rows) < truth).astype(np.int64)
    digest = hashlib.sha256()
    for values in (*columns.values(), label):
        digest.update(values.tobytes())
    return ReportDataset("synthetic", digest.hexdigest(), columns, label, truth)


def probability(columns: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the true probability of each report: the formula of README.md, wrong labels included."""
    profile = columns["abuse_type"] == "PRF"
    length = columns["report_text_len"]
    rating, popularity = columns["profile_rating"], columns["popularity"]
    matches = columns["lifetime_matches_created"]
    rated, low = rating > 0, (rating > 0) & (rating < 2)

    z = np.full(len(length), -5.6)
    z += 4.0 * np.exp(-((np.log1p(length) - np.log(160)) ** 2))  # some 160 characters tell the most
    z += np.where(length == 0, np.where(profile, 2.6, -1.0), 0.0)  # a profile reported without words: its pictures
    z += np.where(length > 5_000, -1.0, 0.0)  # pasted logs and chain letters
    z += np.where(rated, 1.2 * (rating - 3.5), -0.5)  # well-rated reporters are right more often
    z += np.where(profile, 1.0, -0.5) * (popularity - 2)  # popular people get copied, and argued with
    z += 0.8 * np.tanh(np.log10(1 + matches) - 1)  # experience
    z += np.where(profile & low & (matches < 20), 4.0, 0.0)  # a newcomer whom a fake profile rated down
    z += np.where(~profile & low & (length > 300), -2.0, 0.0)  # long complaints of the badly rated: retaliation
    z += np.where(matches > 100_000, -3.0, 0.0)  # bots and imports
    truth: NDArray[np.float64] = FLIPPED + (1 - 2 * FLIPPED) / (1 + np.exp(-z))
    return truth


def _reports(rng: np.random.Generator, n: int) -> dict[str, Array]:
    """Draw the five inputs. Extremes are part of the picture, so that the model has seen them."""
    matches = np.floor(rng.lognormal(3.2, 1.4, n))
    machine = rng.random(n) < 0.03
    matches = np.where(machine, np.floor(10 ** rng.uniform(5, np.log10(MAX_INTEGER), n)), matches)

    length = np.floor(rng.lognormal(4.6, 0.9, n))
    kind = rng.random(n)
    length = np.where(kind < 0.08, 0, length)
    length = np.where(kind > 0.985, np.floor(10 ** rng.uniform(np.log10(5_000), 6, n)), length)

    rating = np.round(1 + 4 * rng.beta(3, 2, n), 1)
    rating = np.where(rng.random(n) < 0.15, 0.0, rating)  # 0: nobody has rated this reporter yet
    liked = np.clip(0.35 + 0.08 * (np.log10(1 + np.minimum(matches, 1_000)) - 1.4), 0.05, 0.95)
    return {
        "abuse_type": np.where(rng.random(n) < 0.35, "PRF", "MSG"),
        "report_text_len": length.astype(np.int64),
        "profile_rating": rating,
        "popularity": rng.binomial(5, liked).astype(np.int64),
        "lifetime_matches_created": matches.astype(np.int64),
    }
