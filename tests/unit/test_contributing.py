"""The newcomer's questions of CONTRIBUTING.md have their answers in files that exist, in two at most."""

import re

from tests.running import ROOT

QUESTION = re.compile(r"^\| ([^|]+\?) \| ([^|]+) \|$", re.M)


def test_each_question_is_answered_in_one_or_two_files_that_exist() -> None:
    found = QUESTION.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(found) == 11
    for question, where in found:
        files = re.findall(r"`([^`]+)`", where)
        assert 1 <= len(files) <= 2, question
        assert [file for file in files if not (ROOT / file).is_file()] == [], question
