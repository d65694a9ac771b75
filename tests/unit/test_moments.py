"""Which times are taken, and what is said of the others."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.timestamps import InvalidTime, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-28T16:30:10Z", "2026-11-28T16:30:10+00:00"),
        ("2026-11-28 16:30:10.914977+00", "2026-11-28T16:30:10.914977+00:00"),  # PostgreSQL's own
        ("2026-11-28 16:30:10.9+0530", "2026-11-28T11:00:10.900000+00:00"),
        ("2026-11-28T18:00:00+02", "2026-11-28T16:00:00+00:00"),
        ("2026-11-28t18:00:00z", "2026-11-28T18:00:00+00:00"),
        ("2026-11-28T18:00Z", "2026-11-28T18:00:00+00:00"),
        ("2026-11-28 18:00:00 UTC", "2026-11-28T18:00:00+00:00"),
        ("2026-11-28T18:00:00,5-00:00", "2026-11-28T18:00:00.500000+00:00"),
        ("2026-11-28T18:00:00.123456789Z", "2026-11-28T18:00:00.123456+00:00"),
        (" 2026-11-28T18:00:00Z\n", "2026-11-28T18:00:00+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31T15:59:60.25-08:00", "2017-01-01T00:00:00.250000+00:00"),
        ("2026-12-31T24:00:00Z", "2027-01-01T00:00:00+00:00"),
        ("2024-02-29T23:59:59-23:59", "2024-03-01T23:58:59+00:00"),
    ],
)
def test_a_time_is_read_in_every_usual_form(text: str, meant: str) -> None:
    assert parse(text).astimezone(UTC) == datetime.fromisoformat(meant)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "as 2026-01-31T09:00:00Z"),
        ("1769850000", "as 2026-01-31T09:00:00Z"),
        ("20260131T090000Z", "as 2026-01-31T09:00:00Z"),
        ("２０２６-01-31T09:00:00Z", "as 2026-01-31T09:00:00Z"),  # noqa: RUF001
        ("2026-01-31", "as 2026-01-31T09:00:00Z"),
        ("2026-01-31T09:00:00", "with its offset from UTC"),
        ("2026-01-31T09:00:00 00:00", "a + is written %2B"),
        ("2026-02-30T00:00:00Z", "no day 30 in 2026-02, which has 28"),
        ("2026-13-01T00:00:00Z", "no month 13"),
        ("2026-01-00T00:00:00Z", "no day 0"),
        ("2026-01-01T25:00:00Z", "hours are 00 to 23"),
        ("2026-01-01T24:00:01Z", "24:00:00 ends a day"),
        ("2026-01-01T24:00:00.5Z", "24:00:00 ends a day"),
        ("2026-01-01T10:60:00Z", "no minute 60"),
        ("2026-01-01T10:00:60Z", "only a leap second"),
        ("2016-12-31T23:59:61Z", "no second 61"),
        ("2026-11-28T18:00:00+24:00", "at most 23:59"),
        ("2026-11-28T18:00:00+12:60", "at most 23:59"),
        ("0001-01-01T00:00:00Z", "a year from 1901 to 8999"),
    ],
)
def test_what_is_wrong_with_a_time_is_said(text: str, words: str) -> None:
    with pytest.raises(InvalidTime) as refusal:
        parse(text)
    assert words in str(refusal.value)


@given(st.datetimes(datetime(1902, 1, 1), datetime(8998, 1, 1), timezones=st.timezones()))
def test_what_python_writes_is_read(moment: datetime) -> None:
    written = moment.isoformat()
    assert len(written.rsplit(":", 2)[-1]) != 2 or "." in written or parse(written) == datetime.fromisoformat(written)


def test_reading_is_quick_whatever_it_is() -> None:
    began = time.process_time()
    for hostile in (
        "2026-01-31T09:00:00." + "0" * 10**6,
        "2026-" * 10**5,
        " " * 10**6,
        "2026-01-31T09:00:00.0" + " " * 10**6 + "x",
    ):
        with pytest.raises(InvalidTime):
            parse(hostile)
    assert time.process_time() - began < 20
