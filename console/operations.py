"""Every page of the console, as operations for the handler's router. A new room of pages is named here once."""

from collections.abc import Sequence

from console import (
    bulk,
    changes,
    files,
    image_file,
    keys,
    login,
    model_pages,
    now,
    static,
    task_list,
    task_page,
    triage,
    triage_lead,
    triage_list,
    try_it,
    workers,
)
from console.image_file import IMAGE_HEADERS
from console.page import Answer, Console, operation, page
from console.rendering import Templates
from console.sampler import Sampler
from console.session import Sessions
from handler.auth.caller import CHANGERS, EVERY_ROLE, OPERATORS
from handler.http.operation import Operation
from store.keys import Role

Entries = Sequence[tuple[str, Answer]]


def console_operations(password: str) -> list[Operation]:
    """Return the pages; the database's password is part of what signs sessions (session.py)."""
    console = Console(Sessions(password), Templates(), Sampler())

    def entries(method: str, given: Entries, roles: frozenset[Role], *, open_to_all: bool = False) -> list[Operation]:
        return [
            operation(method, path, page(console, answer, roles=roles, open_to_all=open_to_all))
            for path, answer in given
        ]

    seen = [now, task_list, changes, task_page, model_pages, workers, files]
    return [
        operation("GET", "/", now.home(console)),
        *(one for room in seen for one in entries("GET", room.PAGES, EVERY_ROLE)),
        *(operation("GET", path, page(console, answer), headers=IMAGE_HEADERS) for path, answer in image_file.PAGES),
        *entries("GET", try_it.PAGES, try_it.ROLES),
        *entries("GET", keys.PAGES, keys.ROLES),
        *entries("GET", triage.PAGES, triage.ROLES),
        *entries("GET", triage_list.PAGES, triage_list.ROLES),
        *entries("GET", triage_lead.PAGES, triage_lead.ROLES),
        *entries("GET", login.PAGES, EVERY_ROLE, open_to_all=True),
        *entries("POST", login.CHANGES, EVERY_ROLE, open_to_all=True),
        *entries("POST", [*task_page.CHANGES, *bulk.CHANGES, *files.CHANGES], CHANGERS),
        *entries("POST", model_pages.CHANGES, OPERATORS),
        *entries("POST", [*try_it.CHANGES, *files.UPLOADS], try_it.ROLES),
        *entries("POST", triage.CHANGES, triage.ROLES),
        *static.operations(),
    ]
