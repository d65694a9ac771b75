"""What a task's scores are made of, as the API shows it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from handler.auth.caller import Caller
from handler.services import Services
from registry.versions import ModelVersion, NoSpec
from serving.explanation import RUNTIMES, explained_columns
from store import explanations


class Explanations(BaseModel):
    """How much each input column has added to the scores, in log odds where these are probabilities.

    Base and contributions of an input add up to its score. Each is null for an input that is not explained.
    """

    base: list[float | None] = Field(description="What the version says on average", examples=[[-2.5]])
    contributions: dict[str, list[float | None]] = Field(examples=[{"popularity": [0.8]}])
    missing: str | None = Field(
        description="Why inputs have null, and the command that explains them; null: all are explained",
        examples=[None],
    )


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
    names = explained_columns(spec)
    # A release whose code gives the version other columns cannot say which number is whose.
    found = [row if row.contributions and len(row.contributions) == len(names) else None for row in rows]
    shown = {
        spec.public_names[name]: [row and row.contributions[place] for row in found]
        for place, name in enumerate(names)
        if not (caller.masked and name in spec.personal)
    }
    missing = _missing(version, task, sum(row is None for row in found)) if version and None in found else None
    return {"base": [row and row.base for row in found], "contributions": shown, "missing": missing}


def _missing(version: ModelVersion, task: Mapping[str, Any], count: int) -> str:
    named = f"{version.model}@{version.version}"
    if not (version.spec.explains or version.runtime in RUNTIMES):
        return f"{named} cannot say what its scores are made of; XGBoost and LightGBM models can."
    command = f"""millrace explain {named} --where "task_id = '{task["task_id"]}'\""""
    return f"Nobody has explained {count} of {task['n_inputs']} inputs; run `{command}`."
