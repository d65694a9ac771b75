"""The OpenAPI document of a handler that asks for API keys."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

from docs.generate import ROOT

NOWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1",
    "AUTH": "required",
}
PROGRAM = "import json; from handler.app import openapi_document; print(json.dumps(openapi_document()))"


@cache
def document() -> dict[str, Any]:
    """Return the document. A process of its own makes it, because a handler reads its settings from its environment."""
    made = subprocess.check_output([sys.executable, "-c", PROGRAM], cwd=ROOT, env=os.environ | NOWHERE, text=True)
    found: dict[str, Any] = json.loads(made.splitlines()[-1])
    return found


def schema(part: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a part of the document refers to, or the part itself."""
    if (reference := part.get("$ref")) is None:
        return part
    named: dict[str, Any] = document()["components"]["schemas"][reference.rpartition("/")[2]]
    return named
