"""The API keys, read only: making and revoking them is a command of the database's owner."""

from starlette.responses import Response

from console.page import Answer, Visit
from handler.auth.caller import OPERATORS
from store import keys as store
from store.keys import Role

RIGHTS = {
    Role.SUBMIT: "submits; reads, cancels and replays its own tasks",
    Role.READ: "reads every client's tasks, personal fields masked",
    Role.TRIAGE: "reads every client's tasks whole, and says whether a prediction was right",
    Role.OPERATE: "changes which version is live; cancels and replays every client's tasks; personal fields masked",
    Role.ADMIN: "all of these, unmasked",
}


async def keys(visit: Visit) -> Response:
    """List who may do what; no key can be read again."""
    async with visit.services.vital.connect() as connection:
        rows = await connection.run_sync(store.page)
    return visit.render("keys.html", here="keys", keys=rows, rights=RIGHTS)


PAGES: list[tuple[str, Answer]] = [("/console/keys", keys)]
ROLES = OPERATORS
