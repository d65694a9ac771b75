"""Every endpoint of the handler is in its OpenAPI document, but for pages: of the document, and of the console."""

import json
import os
import subprocess
import sys

from tests.running import ROOT

PAGES = {
    *("GET /", "GET /docs", "GET /openapi.json"),
    *(f"GET /swagger/{file}" for file in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")),
}
HIDDEN = PAGES | {
    "POST /models/{model}/submit",  # which says that there is no such model
    *("POST /image_inference", "GET /workers/_status", "GET /workers/_info"),  # docs/how-to/clients.md
}

PROBE = """
import json
from handler.app import create_app, openapi_document
document = openapi_document()
routes = [(method, route.path) for route in create_app().routes for method in route.methods or ()]
print(json.dumps({
    "there": [f"{method} {path}" for method, path in routes if method != "HEAD"],
    "described": [f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs],
}))
"""


def test_there_is_no_endpoint_that_is_not_described() -> None:
    places = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1"}
    environment = {**os.environ, **places, "AUTH": "required"}  # so that nothing is around the app
    said = subprocess.check_output([sys.executable, "-c", PROBE], cwd=ROOT, env=environment, text=True)
    found = json.loads(said.splitlines()[-1])
    assert len(found["described"]) > 20
    pages = {one for one in found["there"] if one.partition(" ")[2].startswith("/console/")}
    assert len(pages) > 20  # which integration/test_console.py asks one by one who may see them
    assert set(found["there"]) - set(found["described"]) - pages == HIDDEN
    assert not pages & set(found["described"])
    assert set(found["described"]) <= set(found["there"])
