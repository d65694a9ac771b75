"""Typed clients that generators write from our OpenAPI document: they compile strictly and read every model's result.

What each client does is in the program beside this file, which a type checker reads first.
"""

import json
import shutil
from pathlib import Path

import pytest

from serving import catalogue
from tests.foreign.installed import HERE, run
from tests.running import Platform

pytestmark = pytest.mark.timeout(400)

PROGRAMS = HERE / "clients"

TOLERATED = ("OpenAPI 3.1 support is still in beta", "Failed to get the schema name: null")
"""What openapi-generator warns of whatever the document says."""


@pytest.fixture(scope="module")
def document(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_bytes(platform.client.get("/openapi.json").content)
    return file


def generated(generator: str, document: Path, folder: Path, *options: str) -> None:
    said = run("openapi-generator-cli", "generate", "-g", generator, "-i", document, "-o", folder, *options)
    warned = [line for line in said.splitlines() if " WARN " in line and not any(words in line for words in TOLERATED)]
    assert warned == []


def check(said: str, platform: Platform) -> None:
    """Compare what a client printed of its results with the tasks themselves."""
    seen = json.loads(said)
    assert set(seen) == {*catalogue.specs(), "predict", "refused"}
    for model in catalogue.specs():
        task = platform.client.get(f"/task/{seen[model]['task_id']}").json()
        outputs = {name: task[name] for name in catalogue.specs()[model].output.model_fields}
        assert seen[model] == {"task_id": task["task_id"], "model": model, "status": "SUCCESS", **outputs}
    assert seen["predict"] == [0.317635]
    assert "popularity" in seen["refused"]


def test_openapi_generators_python_client(platform: Platform, document: Path, tmp_path: Path) -> None:
    generated("python", document, tmp_path, "--package-name", "millrace_client")
    run("python", "-m", "mypy", "-p", "millrace_client", folder=tmp_path)
    program = shutil.copy(PROGRAMS / "openapi_generator.py", tmp_path)
    run("python", "-m", "mypy", "--strict", "--follow-imports=silent", program, folder=tmp_path)
    check(run("python", program, platform.url, folder=tmp_path), platform)


def test_openapi_python_client(platform: Platform, document: Path, tmp_path: Path) -> None:
    said = run(
        *("openapi-python-client", "generate", "--path", document, "--meta=none", "--fail-on-warning"),
        *("--output-path", tmp_path / "millrace_client", "--config", PROGRAMS / "openapi_python_client.yaml"),
    )
    assert "WARN" not in said.upper()
    parts = (
        "-p",
        "millrace_client.api",
        "-p",
        "millrace_client.models",
    )  # client.py is the generator's own, with errors
    run("python", "-m", "mypy", "--follow-imports=silent", *parts, folder=tmp_path)
    program = shutil.copy(PROGRAMS / "openapi_python_client.py", tmp_path)
    run("python", "-m", "mypy", "--strict", "--follow-imports=silent", program, folder=tmp_path)
    check(run("python", program, platform.url, folder=tmp_path), platform)


STRICT = (
    *("--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext"),
    *("--lib", "es2022,dom,dom.iterable", "--types", "node", "--skipLibCheck"),
)


def test_openapi_typescript_with_openapi_fetch(platform: Platform, document: Path, tmp_path: Path) -> None:
    _with_packages(tmp_path)
    run("openapi-typescript", document, "-o", tmp_path / "schema.d.ts")
    program = Path(shutil.copy(PROGRAMS / "openapi_fetch.ts", tmp_path))
    run("tsc", *STRICT, program, folder=tmp_path)
    check(run("node", program.with_suffix(".js"), platform.url, folder=tmp_path), platform)


def test_openapi_generators_typescript_client(platform: Platform, document: Path, tmp_path: Path) -> None:
    _with_packages(tmp_path)
    generated("typescript-fetch", document, tmp_path / "client", "--additional-properties=importFileExtension=.js")
    program = Path(shutil.copy(PROGRAMS / "typescript_fetch.ts", tmp_path))
    run("tsc", *STRICT, program, folder=tmp_path)
    check(run("node", program.with_suffix(".js"), platform.url, folder=tmp_path), platform)


def _with_packages(folder: Path) -> None:
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')


@pytest.mark.parametrize("which", ["platform", "closed"])
def test_linters_find_nothing(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_bytes(request.getfixturevalue(which).client.get("/openapi.json").content)
    run("spectral", "lint", "--fail-severity=warn", "--ruleset", HERE / "spectral.yaml", file)
    said = run("redocly", "lint", "--config", HERE / "redocly.yaml", file, REDOCLY_TELEMETRY="off", CI="true")
    assert "warning" not in said
