"""What others send does not pass for a line of our log, and tells no terminal what to do."""

import json
import subprocess
import sys
import unicodedata

import pytest

from tests.running import ROOT

FORGED = "2026-11-21T09:00:00Z [info] handler_stopped"
TEXTS = [
    f"a\n{FORGED}",
    f"a\r{FORGED}",
    "\x1b[2J\x1b]0;title\x07",
    f"a\u2028{FORGED}",
    "\u202eright to left",
    "a\0b\x7f\x9b31m",
]

PROGRAM = """
import json, logging, sys, structlog
from telemetry import logs
logs.configure(logs.LogSettings())
for text in json.load(sys.stdin):
    structlog.get_logger("ours").error("request_failed", path=text)
    logging.getLogger("theirs").error("a library says %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger("ours").exception("round_failed")
"""


@pytest.mark.parametrize("log_format", ["readable", "json"])
def test_a_text_is_one_line_and_printable(log_format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"LOG_FORMAT": log_format},
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    controls = {one for one in done.stderr if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp") and one != "\n"}
    assert controls == set()
    lines = done.stderr.split("\n")
    assert not any(line.startswith(FORGED) for line in lines)
    assert sum("request_failed" in line for line in lines) == len(TEXTS)
    assert sum("a library says" in line for line in lines) == len(TEXTS)


@pytest.mark.parametrize("name", ["botocore.auth", "s3fs", "urllib3.connectionpool", "google.auth"])
def test_a_library_that_signs_requests_does_not_log_them_whole(name: str) -> None:
    program = f"""
import logging
from telemetry import logs
logs.configure(logs.LogSettings(log_level="DEBUG"))
logging.getLogger("{name}").debug("x-amz-security-token:secret")
logging.getLogger("{name}").info("a bucket answered")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert "a bucket answered" in done.stderr
    assert "secret" not in done.stderr
