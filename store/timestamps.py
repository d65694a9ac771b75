"""Reads a time as RFC 3339, ISO 8601 and PostgreSQL write it, or says what is wrong with it."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

EXAMPLE = "2026-01-31T09:00:00Z"

YEARS = range(1901, 9000)
"""Which PostgreSQL's drivers can convert to UTC, wherever they are."""

_DATE = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
_OFFSET = r"(?P<utc>[Zz]|\ ?UTC)|\ ?(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?"
_TIME = re.compile(rf"{_DATE}(?:[Tt\ ]{_CLOCK}(?:{_OFFSET}|(?P<none>)|(?P<lost_plus>\ [0-9]{{2}}:?[0-9]{{2}})))?")


class InvalidTime(ValueError):
    """The text is no time, or not one that can be stored; the message says why and what to write."""


def parse(text: str) -> datetime:
    """Return the time, which must have its offset from UTC. Raises InvalidTime.

    A leap second is the second after it, and 24:00 the next day's 00:00, as they are for PostgreSQL.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise InvalidTime(f"Write a time as {EXAMPLE}")
    if found["hour"] is None:
        raise InvalidTime(f"Give the time of the day and its offset too, as {found[0]}T09:00:00Z")
    if found["lost_plus"] is not None:
        raise InvalidTime("Give the offset with its sign; in a query, a + is written %2B")
    if found["none"] is not None:
        words = f"Give the time with its offset from UTC, as {EXAMPLE} or +02:00"
        raise InvalidTime(f"{words}; in a query, a + is written %2B")
    offset = _offset(found)
    year, month, day, hour, minute, second = (
        int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    if year not in YEARS:
        raise InvalidTime(f"Give a year from {YEARS[0]} to {YEARS[-1]}")
    _refuse_past(month, 1, 12, f"There is no month {month}; months are 01 to 12")
    days = monthrange(year, month)[1]
    _refuse_past(day, 1, days, f"There is no day {day} in {year}-{month:02}, which has {days}")
    _refuse_past(minute, 0, 59, f"There is no minute {minute}; minutes are 00 to 59")
    at_end = hour == 24 and not (minute or second or int(found["fraction"] or 0))
    if hour > 23 and not at_end:
        raise InvalidTime(
            f"There is no {found['hour']}:{found['minute']} o'clock; hours are 00 to 23, and 24:00:00 ends a day"
        )
    micro = int((found["fraction"] or "")[:6].ljust(6, "0"))
    time = datetime(year, month, day, 0 if at_end else hour, minute, min(second, 59), micro, tzinfo=offset)
    if at_end:
        time += timedelta(days=1)
    if second > 59:
        time = _leapt(time, second)
    return time


def _offset(found: re.Match[str]) -> timezone:
    if found["utc"]:
        return UTC
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise InvalidTime("An offset from UTC is at most 23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if found["sign"] == "-" else offset)


def _leapt(time: datetime, second: int) -> datetime:
    """Return the second after a leap second, which only the last minute of a month in UTC can have."""
    after = time + timedelta(seconds=1)
    first = after.astimezone(UTC)
    if second > 60 or (first.day, first.hour, first.minute) != (1, 0, 0):
        raise InvalidTime(
            f"There is no second {second}; only a leap second, at 23:59:60 UTC on a month's last day, is past 59"
        )
    return after


def _refuse_past(value: int, first: int, last: int, words: str) -> None:
    if not first <= value <= last:
        raise InvalidTime(words)
