"""The Postman collection runs green in newman: each request, with what its answer must be."""

import httpx
import pytest

from tests.conftest import NewClient
from tests.foreign.installed import run
from tests.running import ROOT, Platform

COLLECTION = ROOT / "docs" / "examples" / "millrace.postman_collection.json"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("keyed", [False, True], ids=["without keys", "with keys"])
def test_the_postman_collection_runs(keyed: bool, platform: Platform, request: pytest.FixtureRequest) -> None:
    at, key = platform.url, ""
    if keyed:
        new_client: NewClient = request.getfixturevalue("new_client")
        client: httpx.Client = new_client()
        at, key = str(client.base_url).rstrip("/"), client.headers["Authorization"].removeprefix("Bearer ")
    only = ["--folder", "tasks"] if keyed else []  # that platform's worker has the report scorer alone
    said = run("newman", "run", COLLECTION, "--env-var", f"at={at}", "--env-var", f"key={key}", "--color", "off", *only)
    assert "answers [200]" in said
