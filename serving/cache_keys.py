"""The keys of the score cache in Redis: which output belongs to which input of which version."""

import hashlib
from collections.abc import Iterator

import msgspec

from serving.contract import Columns, Manifest, Spec

PREFIX = "cache:"
"""Entries end by themselves: with `maxmemory-policy volatile-lru` Redis drops them before it refuses a message."""


def cache_keys(spec: Spec, manifest: Manifest, inputs: Columns) -> Iterator[str]:
    """Yield a key for each input, made of all its fields but the caller's own key, in the order of the spec's input."""
    fields = [values for name, values in inputs.items() if name != spec.key]
    prefix = f"{PREFIX}{spec.name}:{_fingerprint(spec, manifest)}:"
    for row in zip(*fields, strict=True):
        yield prefix + hashlib.sha256(msgspec.msgpack.encode(row)).hexdigest()


def _fingerprint(spec: Spec, manifest: Manifest) -> str:
    """Tell apart artifacts that have one version's name, on a developer's machine, by the hashes of their files.

    The output columns count too: they may change with the model's code alone.
    """
    identity = (manifest, spec.output_columns)
    return hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()[:16]
