"""A browser without script, for the console: it keeps cookies, says where a form comes from, and reads pages."""

import re
from html.parser import HTMLParser
from typing import Self

import httpx

BLOCKS = {"p", "div", "li", "dt", "dd", "td", "th", "tr", "h1", "h2", "h3", "section", "label", "option", "pre"}
"""Tags that end the word before them."""


class Page(HTMLParser):
    """What is in a page: its texts, links, forms' targets, and every attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in BLOCKS:
            self._texts.append(" ")

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        """What a person reads, with white space as one blank."""
        return re.sub(r"\s+", " ", "".join(self._texts))

    def of(self, tag: str, attribute: str) -> list[str]:
        """Return the values of an attribute of these tags."""
        return [value for name, attributes in self.tags if name == tag and (value := attributes.get(attribute))]


class Browser:
    """One person's browser without script."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, headers={"Accept": "text/html,*/*;q=0.8"}, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def sign_in(self, key: str) -> Self:
        answer = self.post("/console/login", {"key": key, "next": "/"})
        assert answer.status_code == 303, answer.text
        return self

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.client.get(path, **options)  # type: ignore[arg-type]

    def page(self, path: str) -> Page:
        """Return a page that there must be, wherever it leads to."""
        answer = self.client.get(path, follow_redirects=True)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return Page(answer.text)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """Send a form as a page of the console does."""
        return self.client.post(path, data=form or {}, headers={"Origin": self.url, **headers})

    def upload(self, path: str, name: str, content: bytes) -> httpx.Response:
        return self.client.post(path, files={"file": (name, content)}, headers={"Origin": self.url})
