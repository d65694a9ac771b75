"""The JDK's client and curl, which offer HTTP/2 over plain HTTP: they are answered over HTTP/1.1, bodies and all."""

import json
import shutil
import subprocess
from collections import Counter

import pytest

from tests.foreign.installed import HERE
from tests.running import REPORT, Platform


def run(program: str, *arguments: str) -> str:
    """Run a program of the system; skip where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_the_jdks_client_gets_its_answers_as_it_is(platform: Platform) -> None:
    said = Counter(run("java", str(HERE / "Upgrades.java"), platform.url).splitlines())
    expected = {"get": 200, "post": 200, "chunked": 202, "expect": 202, "refused": 422, "http/1.1": 200}
    assert said == {f"{what} {status} HTTP_1_1": 1 for what, status in expected.items()} | {"at once 202 HTTP_1_1": 50}


@pytest.mark.parametrize("form", [["--http2"], ["--http2", "-H", "Transfer-Encoding: chunked"], ["--http1.1"]])
def test_curl_that_offers_http2_gets_its_answers(platform: Platform, form: list[str]) -> None:
    asked = ["-sS", "-m", "60", *form, "-H", "Content-Type: application/json", "-d", json.dumps(REPORT)]
    written = ["-w", " %{http_code} %{http_version}\\n", f"{platform.url}/predict"]
    first, second = run("curl", *asked, *written, *written[2:]).splitlines()  # the second on the same connection
    for said in (first, second):
        assert said.endswith(" 200 1.1")
        assert json.loads(said.rpartition("}")[0] + "}")["status"] == "SUCCESS"
