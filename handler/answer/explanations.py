"""What a task's scores are made of, as the API shows it."""

from collections.abc import Mapping
from typing import Any

from handler.auth.caller import Caller
from handler.services import Services
from registry.versions import NoSpec
from serving.explanation import explained_columns
from store import explanations


async def explained(services: Services, task: Mapping[str, Any], caller: Caller) -> dict[str, Any] | None:
    """Return what each input column has added, one value an input, null where nobody has computed it.

    None: the task's version is of another release. A column that is masked for the caller is left out.
    """
    version = services.models.registry.version(task["model"], task["model_version"])
    try:
        spec = version.spec if version else None
    except (NoSpec, TypeError):
        spec = None
    if spec is None:
        return None
    async with services.engine.connect() as connection:
        rows = await explanations.of_task(connection, spec.table, task["task_id"])
    shown = {
        spec.public_names[name]: [row.contributions and row.contributions[place] for row in rows]
        for place, name in enumerate(explained_columns(spec))
        if not (caller.masked and name in spec.personal)
    }
    return {"base": [row.base for row in rows], "contributions": shown}
