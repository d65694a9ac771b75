"""`make audit`: a CycloneDX bill of materials for each image, and what is known against the packages in them.

The bills need no network. What is known comes from PyPI; if it cannot be asked about every package, the audit fails and
says so, as nothing found would mean nothing.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.running import ROOT

BILLS = ROOT / "sbom"


@dataclass(frozen=True)
class Findings:
    """Of an audit: one line a vulnerability, and the packages about which nobody answered."""

    audited: int
    vulnerable: list[str]
    unanswered: list[str]


def write_bill(image: str, folder: Path) -> Path:
    """Write the bill of an image's compiled requirements: every package with its version and hashes."""
    bill = folder / f"{image}.cdx.json"
    folder.mkdir(exist_ok=True)
    options = ["--pyproject=pyproject.toml", "--output-reproducible", f"--output-file={bill}"]
    command = ["-W", "ignore", "-m", "cyclonedx_py", "requirements", *options, str(_requirements(image))]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return bill


def audit(images: Sequence[str]) -> Findings:
    """Ask PyPI about every package of these images. Raises RuntimeError where pip-audit gives no answer at all."""
    files = [f"--requirement={_requirements(image)}" for image in images]
    options = ["--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json", "--timeout=20"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *options, *files], cwd=ROOT, capture_output=True, text=True
    )
    try:
        return findings(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines() or ["it said nothing"]
        raise RuntimeError(last[-1]) from None


def findings(answer: str) -> Findings:
    """Read pip-audit's JSON. Raises ValueError where it is none."""
    packages = json.loads(answer)["dependencies"]
    return Findings(
        audited=sum("vulns" in package for package in packages),
        vulnerable=[
            f"{package['name']} {package['version']}: {found['id']}, mended in {' or '.join(found['fix_versions'])}"
            for package in packages
            for found in package.get("vulns", ())
        ],
        unanswered=[package["name"] for package in packages if "skip_reason" in package],
    )


def _requirements(image: str) -> Path:
    return ROOT / "requirements" / f"{image}.txt"


def main(images: Sequence[str]) -> int:
    for image in images:
        print(write_bill(image, BILLS).relative_to(ROOT))
    try:
        found = audit(images)
    except RuntimeError as problem:
        print(f"NOT AUDITED: pip-audit could not ask PyPI: {problem}", file=sys.stderr)
        return 2
    for line in found.vulnerable:
        print(line)
    print(f"{found.audited} packages audited, {len(found.vulnerable)} vulnerabilities")
    if found.unanswered:
        print(f"NOT AUDITED: PyPI did not answer about {len(found.unanswered)} packages", file=sys.stderr)
        return 2
    return 1 if found.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
