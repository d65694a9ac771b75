"""`serving.provide`: weights that are in no image come to a folder, checked, whole or not at all."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from serving import artifact
from serving.artifact import ArtifactTampered
from serving.provide import WeightsRefused, WeightsSettings, provide

OURS = artifact.current("text_classifier")


def archived(folder: Path, archive: Path) -> WeightsSettings:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return settings(archive)


def settings(archive: Path, **changes: object) -> WeightsSettings:
    weights = f"{archive.as_uri()}#sha256={artifact.sha256(archive)}"
    return WeightsSettings.model_validate({"model_weights": weights, **changes})


def test_an_archive_becomes_the_current_artifact(tmp_path: Path) -> None:
    asked = archived(OURS.path, tmp_path / "archive.tar.gz")
    found = provide(tmp_path / "weights", asked)
    assert found.version == OURS.version
    assert (tmp_path / "weights" / "CURRENT").read_text().strip() == OURS.version
    assert {file.name for file in (tmp_path / "weights").iterdir()} == {OURS.version, "CURRENT", "ARCHIVE"}
    artifact.verify(found)


def test_what_was_saved_is_not_fetched_again_unless_it_was_changed(tmp_path: Path) -> None:
    asked = archived(OURS.path, tmp_path / "archive.tar.gz")
    found = provide(tmp_path / "weights", asked)
    moved = (tmp_path / "archive.tar.gz").rename(tmp_path / "gone")
    assert provide(tmp_path / "weights", asked).version == OURS.version
    with pytest.raises(OSError, match="archive"):
        provide(tmp_path / "weights", asked.model_copy(update={"save_weights": False}))
    (found.path / "golden.jsonl").write_text("{}\n")
    with pytest.raises(OSError, match="archive"):
        provide(tmp_path / "weights", asked)
    moved.rename(tmp_path / "archive.tar.gz")
    shutil.rmtree(found.path)
    artifact.verify(provide(tmp_path / "weights", asked))


def test_another_archive_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    asked = archived(OURS.path, tmp_path / "archive.tar.gz")
    with (tmp_path / "archive.tar.gz").open("ab") as archive:
        archive.write(b"more")
    with pytest.raises(WeightsRefused, match="its sha256 is"):
        provide(tmp_path / "weights", asked)
    assert list((tmp_path / "weights").iterdir()) == []


def test_an_archive_that_contradicts_its_manifest_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(OURS.path, tmp_path / "1.0.0")
    (copy / "evaluation.json").write_text(json.dumps({}))
    with pytest.raises(ArtifactTampered):
        provide(tmp_path / "weights", archived(copy, tmp_path / "archive.tar.gz"))
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.parametrize("name", ["../escaped.json", "../../escaped.json", "/escaped.json", "a/b/escaped.json"])
def test_an_archive_cannot_write_outside_its_folder(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive.tar", "w") as tar, (OURS.path / "manifest.json").open("rb") as content:
        described = tar.gettarinfo(fileobj=content)
        described.name = name  # as add() would not write it
        tar.addfile(described, content)
    with pytest.raises(WeightsRefused, match="it may hold only files"):
        provide(tmp_path / "weights", settings(tmp_path / "archive.tar"))
    assert not list(tmp_path.rglob("escaped.json"))


def test_an_archive_cannot_bring_a_link(tmp_path: Path) -> None:
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    with tarfile.open(tmp_path / "archive.tar", "w") as tar:
        tar.add(tmp_path / "passwords", arcname="1.0.0/manifest.json")
    with pytest.raises(WeightsRefused, match="it may hold only files"):
        provide(tmp_path / "weights", settings(tmp_path / "archive.tar"))


def test_a_checksum_must_be_given() -> None:
    with pytest.raises(ValueError, match="model_weights"):
        WeightsSettings(model_weights="https://artifacts.example/m2m100.tar.gz")
