"""schemathesis against the running service: whatever OpenAPI promises holds, whatever a client sends."""

import subprocess
import sys

import pytest

from tests.running import ROOT, Platform


@pytest.mark.timeout(400)
def test_every_answer_is_one_that_openapi_describes(platform: Platform) -> None:
    """All its checks, over examples, boundary values, random cases and sequences of linked calls; no 5xx."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/integration/schemathesis.toml"),
            *("run", f"{platform.url}/openapi.json"),
            *("--checks=all", "--phases=examples,coverage,fuzzing,stateful", "--max-examples=20", "--seed=1"),
            *("--request-timeout=65", "--generation-deterministic", "--suppress-health-check=all", "--no-color"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
