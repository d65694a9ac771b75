"""What live evaluation reads of predictions: where they lie in their table, and texts as numbers."""

import numpy as np
import pyarrow as pa

from cli.evaluate.coded import coded, spread
from cli.evaluate.standing import Places
from export.binary import decode


def test_a_prediction_is_found_by_its_place_in_whatever_order_they_were_read() -> None:
    for places in ([3, 7, 9], [9, 3, 7]):
        rows = Places(np.array(places)).rows(np.array([7, 4, 9, 10, 1])).tolist()
        assert rows == [places.index(7), -1, places.index(9), -1, -1]
    assert Places(np.empty(0, np.int64)).rows(np.array([1])).tolist() == [-1]


def test_a_place_rises_through_the_table() -> None:
    place = (2**31 + 5) << 16 | 7
    message = b"\0\1" + (6).to_bytes(4) + (2**31 + 5).to_bytes(4) + (7).to_bytes(2)
    missing = b"\0\1" + b"\xff" * 4
    assert decode([message, missing, message], ["tid"])[0].to_pylist() == [place, None, place]
    assert decode([message] * 3, ["tid"])[0].to_pylist() == [place] * 3


def test_texts_are_counted_and_given_back() -> None:
    column = coded(pa.chunked_array([["b", None], ["a", "b"]], pa.string()))
    every = np.arange(4)
    assert column.texts(every).tolist() == ["b", None, "a", "b"]
    assert column.counts(every) == {"a": 1, "b": 2}
    assert column.is_text("b").tolist() == [True, False, False, True]
    assert not column.is_text("c").any()
    wide = spread(column, np.array([5, 0, 2, 3]), 6)
    assert wide.texts(np.arange(6)).tolist() == [None, None, "a", "b", None, "b"]
    assert coded(pa.chunked_array([], pa.string())).names == []
