"""What a model file says of itself, whichever library wrote it."""

from typing import Literal

import msgspec

FeatureKind = Literal["number", "whole number", "boolean", "category", "text"]

Output = Literal["binary", "classes", "value"]
"""A probability of one class; a label with the probability of each; or a number, as of a regression or ranking."""


class DescribedFeature(msgspec.Struct, frozen=True):
    name: str | None
    """None: the file names none, only their order."""
    kind: FeatureKind = "number"
    categories: tuple[str, ...] | None = None
    """Of a category, in the order of their codes, where the file holds them."""


class Description(msgspec.Struct, frozen=True):
    features: tuple[DescribedFeature, ...]
    output: Output
    takes_missing: bool
    """Whether a missing value is one that the model was made for."""
    classes: tuple[str, ...] = ()
    """Of several, their names, or their numbers where the file has no names."""
    warnings: tuple[str, ...] = ()


class NotSupported(ValueError):
    """The file holds a model that cannot be served; the message says what it is, and what to do instead."""
