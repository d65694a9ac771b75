"""Which passwords docker-compose makes, keeps, takes over and refuses; and that the repository publishes none."""

import re
import subprocess
from pathlib import Path

import pytest

from cli.passwords import FOLDERS, PUBLISHED, PasswordRefused, provide
from tests.running import ROOT


def read(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_what_nobody_has_set_is_made_once_and_kept(tmp_path: Path) -> None:
    provide(tmp_path, {"POSTGRES_PASSWORD": ""})
    made = read(tmp_path)
    assert len({made[name] for name in FOLDERS}) == len(FOLDERS)
    assert all(len(made[name]) >= 32 for name in FOLDERS)
    assert made["DATABASE_URL"] == f"postgresql://millrace_app:{made['POSTGRES_APP_PASSWORD']}@postgres:5432/millrace"
    provide(tmp_path, {})
    assert read(tmp_path) == made


def test_what_is_set_is_taken_over_and_kept(tmp_path: Path) -> None:
    provide(tmp_path, {})
    provide(tmp_path, {"POSTGRES_APP_PASSWORD": "new-one", "POSTGRES_USER": "boss", "POSTGRES_DB": "scores"})
    assert (tmp_path / "app" / "DATABASE_URL").read_text() == "postgresql://millrace_app:new-one@postgres:5432/scores"
    assert "//boss:" in (tmp_path / "owner" / "MIGRATIONS_DATABASE_URL").read_text()
    provide(tmp_path, {})
    assert (tmp_path / "app" / "POSTGRES_APP_PASSWORD").read_text() == "new-one"


def test_the_key_of_a_bucket_is_passed_on_and_goes_when_it_is_unset(tmp_path: Path) -> None:
    provide(tmp_path, {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "a/secret+of=theirs"})
    assert (tmp_path / "export" / "AWS_SECRET_ACCESS_KEY").read_text() == "a/secret+of=theirs"
    assert not (tmp_path / "artifacts").exists(), "workers have a key of their own, which only reads"
    provide(tmp_path, {"ARTIFACTS_READ_ACCESS_KEY_ID": "AKIB", "ARTIFACTS_READ_SECRET_ACCESS_KEY": "another"})
    assert (tmp_path / "artifacts" / "AWS_SECRET_ACCESS_KEY").read_text() == "another"
    provide(tmp_path, {"AWS_ACCESS_KEY_ID": ""})
    assert list((tmp_path / "export").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PASSWORD", "change-me-postgres"),
        ("POSTGRES_APP_PASSWORD", "change-me-app"),
        ("REDIS_PASSWORD", "Change-Me-redis"),
        ("FLOWER_BASIC_AUTH", "millrace:change-me-flower"),
        ("GRAFANA_PASSWORD", "change-me-grafana"),
        ("REDIS_PASSWORD", "p@ss/word"),
        ("POSTGRES_PASSWORD", "two words"),
        ("FLOWER_BASIC_AUTH", "no-colon"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_and_nothing_is_written(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(PasswordRefused, match=rf"^{name} in \.env .*(?:Delete|delete|user:password)"):
        provide(tmp_path, {name: value})
    assert read(tmp_path) == {}


def test_no_folder_knows_the_password_of_another(tmp_path: Path) -> None:
    provide(tmp_path, {})
    made = read(tmp_path)
    for name, folder in FOLDERS.items():
        knowing = {
            file.parent.name for file in tmp_path.rglob("*") if file.is_file() and made[name] in file.read_text()
        }
        assert knowing == ({folder, "flower"} if folder == "redis" else {folder})  # Flower speaks with Redis


def test_the_repository_publishes_no_password() -> None:
    git = [
        "git",
        "ls-files",
        "-z",
        ".env.example",
        "docker-compose*.yml",
        "deploy",
        "README.md",
        "docs",
        ".github",
        ":!*.png",
    ]
    files = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    set_here = re.compile(
        r"(?:PASSWORD|AUTH|SECRET)=(?!\$|\s|$|off|required|passwords/)[^\s`'\"|]+|://\w+:(?!\$|password|…)[\w-]+@"
    )
    for name in filter(None, files):
        text = (ROOT / name).read_text(encoding="utf-8")
        if not name.startswith("docs/"):
            assert not PUBLISHED.search(text), name
            assert not set_here.search(text), (name, set_here.search(text))
