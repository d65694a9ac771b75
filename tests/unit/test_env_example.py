""".env.example opens with the settings that matter, and each shows its default; every setting says what it is."""

import importlib
import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from cli.passwords import FOLDERS, NEVER_MADE
from tests.running import ROOT

ROOMS = (
    *(
        "handler",
        "worker",
        "rescue",
        "export",
        "webhooks",
        "broker",
        "store",
        "cli",
        "devstack",
        "telemetry",
        "serving",
        "registry",
        "runtimes",
        "models",
    ),
    "migrations",
)
EXAMPLE = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M))
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
POOL = (ROOT / "docker-compose.pool.yml").read_text(encoding="utf-8")

SECRETS_AND_PLACES = {"FLOWER_BASIC_AUTH", "DATABASE_URL", "MIGRATIONS_DATABASE_URL", "REDIS_URL", "EXPORT_URL"}
"""Settings that have no default, or whose example is none."""


def _settings_classes() -> list[type[BaseSettings]]:
    files: list[Path] = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    for file in files:
        if "(BaseSettings)" in file.read_text(encoding="utf-8"):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    return [found for found in BaseSettings.__subclasses__() if found.__module__.split(".")[0] in ROOMS]


def _names(settings: type[BaseSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields}


CLASSES = _settings_classes()
SETTINGS = set().union(*map(_names, CLASSES))
INTERPOLATED = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE)) | set(FOLDERS) | set(NEVER_MADE)
"""What docker-compose itself reads."""


def test_the_example_opens_with_the_five_that_matter() -> None:
    assert list(EXAMPLE)[:5] == ["PORT", "AUTH", "WORKER_MODELS", "WORKER_REPLICAS", "WEBHOOK_SECRET"]
    others = set(list(EXAMPLE)[5:])
    assert others <= INTERPOLATED, "a setting that programs read belongs into the reference, which is made of the code"


def test_every_name_of_the_example_is_used() -> None:
    assert EXAMPLE.keys() - SETTINGS - INTERPOLATED == set()


def test_every_setting_says_what_it_is() -> None:
    """Of its description the reference is made, and the error that a wrong value gets."""
    assert len(CLASSES) >= 6
    for settings in CLASSES:
        assert all(field.description for field in settings.model_fields.values()), settings


@pytest.mark.parametrize("settings", CLASSES, ids=lambda settings: settings.__name__)
def test_the_example_shows_the_defaults(settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "DATABASE_URL": "postgresql://somewhere/millrace",
        "REDIS_URL": "redis://somewhere",
        "EXPORT_URL": "file:///somewhere",
    }
    for name in EXAMPLE:
        monkeypatch.delenv(name, raising=False)
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    default = settings()
    for name, value in EXAMPLE.items():
        if name not in SECRETS_AND_PLACES:
            monkeypatch.setenv(name, value)
    assert settings() == default


@pytest.mark.parametrize(
    "settings",
    [settings for settings in CLASSES if not settings.__module__.startswith(("devstack.", "serving.provide"))],
    ids=str,
)
def test_containers_are_given_every_setting(settings: type[BaseSettings]) -> None:
    given = _given(COMPOSE)
    assert _names(settings) - given - {"POOL_GRACE_SECONDS"} == set()
    without = {name for name in given if name.startswith(("REDIS", "WORKER_AUTOSCALE", "AUTOSCALE_"))}
    without |= {name for name in given if name.startswith("EXPORT_")}  # there it is the same service
    without |= {"CACHE_SECONDS", "WORKER_GRACE_SECONDS"}  # what ENGINE=pool does not have
    assert _names(settings) - _given(POOL) - without == set()


def _given(compose: str) -> set[str]:
    in_volumes = {"DATABASE_URL", "MIGRATIONS_DATABASE_URL", "REDIS_URL"}  # see cli.passwords
    return set(re.findall(r"^ +([A-Z][A-Z0-9_]*):", compose, re.M)) | in_volumes
