"""The gate's verdicts, for programs without numpy."""

from enum import StrEnum


class GateVerdict(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TOO_FEW = "too few to say"
