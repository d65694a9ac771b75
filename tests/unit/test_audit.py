"""The bills of materials are complete without a network, and an audit that nobody answered is none."""

import json
import re
from pathlib import Path

import pytest

from tests.audit import audit, findings, write_bill
from tests.running import ROOT


def test_a_bill_names_every_package_with_its_version_and_hashes_the_same_each_time(tmp_path: Path) -> None:
    first, second = (write_bill("worker-xgboost", tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    bill = json.loads(first)
    pinned = (ROOT / "requirements" / "worker-xgboost.txt").read_text(encoding="utf-8")
    packages = set(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", pinned, re.M))
    assert {(component["name"], component["version"]) for component in bill["components"]} == packages
    assert bill["metadata"]["component"]["name"] == "millrace"
    for component in bill["components"]:
        assert component["externalReferences"][0]["hashes"]


def test_what_is_known_against_a_package_is_said_with_its_remedy() -> None:
    known = {"id": "PYSEC-2099-1", "fix_versions": ["2.0"], "description": "", "aliases": []}
    found = findings(
        json.dumps(
            {
                "dependencies": [
                    {"name": "alpha", "version": "1.0", "vulns": [known]},
                    {"name": "beta", "version": "1.0", "vulns": []},
                    {"name": "gamma", "skip_reason": "Dependency not found on PyPI"},
                ]
            }
        )
    )
    assert found.vulnerable == ["alpha 1.0: PYSEC-2099-1, mended in 2.0"]
    assert (found.audited, found.unanswered) == (2, ["gamma"])


def test_no_network_is_no_clean_bill_of_health(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(RuntimeError):
        audit(["migrate"])
