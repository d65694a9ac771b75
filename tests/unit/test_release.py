"""What a tag publishes: each image of the Makefile, and a client that another Python can install."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import yaml

from handler import VERSION
from tests.running import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def test_each_image_of_the_makefile_is_published() -> None:
    (images,) = (line.partition(":=")[2].split() for line in MAKEFILE.splitlines() if line.startswith("IMAGES :="))
    assert WORKFLOW["jobs"]["images"]["strategy"]["matrix"]["image"] == images


def test_nothing_is_published_that_no_statement_names() -> None:
    for job in ("build", "images"):
        uses = [step.get("uses", "").partition("@")[0] for step in WORKFLOW["jobs"][job]["steps"]]
        assert "actions/attest-build-provenance" in uses
        assert WORKFLOW["jobs"][job]["permissions"]["attestations"] == "write"
    assert WORKFLOW["permissions"] == {}


def release_tag(tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.release_tag", tag]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_tag_is_the_version_of_server_and_client() -> None:
    assert release_tag(f"v{VERSION}").returncode == 0
    refused = release_tag("v0.0.9")
    assert refused.returncode == 1
    assert refused.stderr.strip() == f"the tag v0.0.9 is not v{VERSION}, the version in handler/__init__.py"


def test_the_wheel_has_the_licence_its_types_and_every_module(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    build = [uv, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*build, "--wheel", "--out-dir", tmp_path, ROOT / "client"], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (message_from_bytes(archive.read(name)) for name in names if name.endswith("/METADATA"))
        (licence,) = (archive.read(name) for name in names if name.endswith("/licenses/LICENSE"))
    sources = ROOT / "client" / "millrace_client"
    assert {f"millrace_client/{one.relative_to(sources)}" for one in sources.rglob("*.py")} <= names
    assert "millrace_client/py.typed" in names
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert metadata["Version"] == VERSION
    assert "Programming Language :: Python :: 3.14" in metadata.get_all("Classifier", [])
