"""The settings reference: every field of every BaseSettings class, and the programs that read it."""

import importlib
import re
from collections import defaultdict
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import HttpUrl, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from docs.generate import ROOT, row, table

PACKAGES = (
    "handler",
    "worker",
    "rescue",
    "export",
    "webhooks",
    "store",
    "broker",
    "telemetry",
    "serving",
    "registry",
    "runtimes",
    "models",
)
COMMANDS = ("migrations", "devstack", "cli")
PROGRAMS = {
    "models": "worker",
    "serving": "serving.provide",
    "registry": "worker",
    "runtimes": "worker",
    "migrations": "migrate",
    "devstack": "make up",
    "cli": "millrace",
}
"""The program that a package is part of, where the two have different names."""

TITLES = {
    "Store": "PostgreSQL",
    "Broker": "Redis",
    "Migration": "Migrations",
    "Log": "Logs",
    "Tracing": "Traces",
    "Webhook": "Webhooks",
    "Delivery": "Delivery of webhooks",
    "Weights": "Weights that are in no image",
    "Artifact": "Files of models",
    "LargeFile": "Large files of models",
    "Code": "Models that are code",
    "Remote": "Remote models",
    "Up": "make up",
}
ORDER = (
    *("Handler", "Worker", "Rescue", "Webhook", "Delivery", "Export", "Store", "Migration", "Broker"),
    *("Metrics", "Log", "Tracing"),
)

TYPES: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "true, false", SecretStr: "secret"}
BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))

INTRODUCTION = """# Settings

Every program reads its settings from its environment and validates them when it starts. A value that is not valid stops
the program with a sentence that names the setting. An empty value means the default.

docker-compose takes settings from `.env`, `make up` from the environment or its command line (`make up PORT=8082`), and
Kubernetes from `deploy/kubernetes/base/settings.env`. The last section lists what docker-compose alone reads.
"""


def page() -> str:
    """Return the page, one section a class."""
    readers = _readers()
    classes = {cls.__name__.removesuffix("Settings"): cls for cls in _classes()}
    sections = [INTRODUCTION]
    for name in sorted(classes, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        cls = classes[name]
        read_by = ", ".join(sorted(readers[cls.__name__]))
        rows = (_setting(name, field) for name, field in cls.model_fields.items())
        heading = f"## {TITLES.get(name, name)}\n\nRead by: {read_by}.\n\n"
        sections.append(heading + table("name", "type", "default", "bounds", "what it does") + "".join(rows))
    return "\n".join([*sections, _composes({name.upper() for cls in classes.values() for name in cls.model_fields})])


def _classes() -> list[type[BaseSettings]]:
    for package in (*PACKAGES, *COMMANDS):
        for file in sorted((ROOT / package).rglob("*.py")):
            if "(BaseSettings)" in file.read_text(encoding="utf-8"):
                importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    ours = {*PACKAGES, *COMMANDS}
    return [cls for cls in BaseSettings.__subclasses__() if cls.__module__.partition(".")[0] in ours]


def _readers() -> defaultdict[str, set[str]]:
    """Return the programs that make an instance of each class."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for package in (*PACKAGES, *COMMANDS):
        for file in (ROOT / package).rglob("*.py"):
            for name in re.findall(r"\b(\w+Settings)\(\)", file.read_text(encoding="utf-8")):
                found[name].add(PROGRAMS.get(package, package))
    return found


def _setting(name: str, field: FieldInfo) -> str:
    return row(f"`{name.upper()}`", _type(field.annotation), _default(field), _bounds(field), field.description or "")


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return ", ".join(_type(part) for part in get_args(annotation) if part is not type(None))
    return TYPES.get(annotation, "URL" if annotation is HttpUrl else "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "computed"
    if field.default in (None, ""):
        return "empty"
    shown = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{shown}`"


def _bounds(field: FieldInfo) -> str:
    limits = [f"{sign} {getattr(one, name):g}" for one in field.metadata for name, sign in BOUNDS if hasattr(one, name)]
    return ", ".join(limits)


def _composes(programs: set[str]) -> str:
    """Return what docker-compose reads and no program does, with the words of .env.example."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    found = re.findall(r"((?:^# .*\n)*)((?:^[A-Z_]+=.*\n)+)", example, re.M)
    rows = []
    for comment, settings in found:
        about = re.sub(r"^# ?|\n", " ", comment, flags=re.M).strip()
        for name, value in re.findall(r"^([A-Z_]+)=(.*)$", settings, re.M):
            if name not in programs:
                rows.append(row(f"`{name}`", f"`{value}`" if value else "empty", re.sub(" +", " ", about)))
    return "## docker-compose\n\n" + table("name", "default", "what it does") + "".join(rows)
