"""Writes every generated page."""

from docs.generate import NOTICE, REFERENCE, commands, errors, http_api, settings, states, tables

PAGES = {
    "commands": commands.page,
    "errors": errors.page,
    "http-api": http_api.page,
    "settings": settings.page,
    "states": states.page,
    "tables": tables.page,
}


def main() -> None:
    for name, page in PAGES.items():
        (REFERENCE / f"{name}.md").write_text(NOTICE + page(), encoding="utf-8")


if __name__ == "__main__":
    main()
