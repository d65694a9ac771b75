"""The site that `make docs` builds of the pages that GitHub shows as well: `build/site/docs/index.html`."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from handler import VERSION

INDEX = "docs/index"

project = "Millrace"
version = release = VERSION
extensions = ["myst_parser"]
root_doc = INDEX
include_patterns = ["docs/**.md", "*.md", "bench/README.md", "models/*/README.md", "pool/README.md"]
exclude_patterns = [".*", "build", "tests"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"Millrace {version}"
html_show_sphinx = False
html_copy_source = False


def navigation(source: str) -> str:
    """Return the sidebar: a caption for each section of the index, and under it the pages that the section links to."""
    made = []
    for section in re.split(r"^## ", source, flags=re.M)[1:]:
        caption = section.partition("\n")[0]
        links = re.findall(r"^- \[(.*?)\]\((.*?)\.md(?:#.*?)?\)", section, re.M)
        lines = "\n".join(f"{title} <{page}>" for title, page in links)
        made.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n")
    return "".join(made)


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    if page == INDEX:
        source[0] += navigation(source[0])
    if page == "docs/decisions/README":
        source[0] += "\n```{toctree}\n:glob:\n\n0*\n```\n"


def refuse_other_hosts(app: Sphinx, error: Exception | None) -> None:
    """Fail if a page loads anything from another host: it is to be read offline, and tells nobody that it is read."""
    for page in Path(app.outdir).rglob("*.html"):
        if loaded := re.search(
            r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page.read_text("utf-8")
        ):
            raise ExtensionError(f"{page}: {loaded[0]}")


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
    app.connect("build-finished", refuse_other_hosts)
