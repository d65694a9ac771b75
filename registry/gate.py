"""Whether a version may take the live one's place: what the gate has found, and what then rests on a person."""

from sqlalchemy import Connection, text

from evaluation.verdict import GateVerdict
from registry import versions
from registry.administration import RegistryRefused
from registry.outcome_views import rules_of
from registry.versions import ModelVersion, Registry
from store import models, version_scores

FORCED, NOT_ASKED = "forced: ", "not asked"


class GateRefused(RegistryRefused):
    """The version is not to be promoted as things stand; the message says what a person can do."""


def contenders(registry: Registry, model: str, version: str | None) -> tuple[ModelVersion, ModelVersion] | None:
    """Return the live version and the one that is to take its place, by default the one that was added last.

    None where the gate has no say: nothing is live, there is no such other version, or the model declares no outcome
    that its score is the chance of.
    """
    found = registry.versions_of(model)
    live = registry.live.get(model)
    new = registry.version(model, version) if version else (found[-1] if found else None)
    rules = rules_of(registry, model)
    if live is None or new is None or new is live or rules is None or rules[1].target is None:
        return None
    return live, new


def require(
    connection: Connection, model: str, version: str | None, reason: str | None, *, force: bool = False
) -> str | None:
    """Return what the gate said of the version that is to be promoted; None: it has no say. Raises GateRefused.

    It passes a version that it found not to be worse. Where it had too few outcomes to say, or there are none, the
    promotion rests on a person's reason. With `force` and a reason any version passes, and the
    words begin with FORCED.
    """
    models.lock(connection)  # so that nothing else becomes live between the question and the promotion
    found = contenders(versions.read(connection), model, version)
    if found is None:
        return None
    live, new = found
    said = version_scores.last_verdict(connection, (model, new.version), live.version)
    verdict = None if said is None else GateVerdict(said)
    named = f"{model}@{new.version}"
    if force:
        if not reason:
            raise GateRefused("going past the gate needs a reason")
        return f"{FORCED}{verdict or NOT_ASKED}"
    if verdict is GateVerdict.PASS:
        return verdict
    if verdict is GateVerdict.FAIL:
        raise GateRefused(
            f"the gate found {named} worse than {live.version}, which is live: `millrace models gate {named}` says "
            "where; to promote it all the same, give force and a reason"
        )
    if verdict is None and connection.scalar(_HAS_OUTCOMES, {"model": model}):
        raise GateRefused(
            f"the gate has not compared {named} with {live.version}, which is live: run `millrace models gate {named}`,"
            " or give force and a reason"
        )
    if not reason:
        raise GateRefused(
            f"too few outcomes tell whether {named} is worse than {live.version}, which is live: give a reason, on "
            "which the promotion then rests"
        )
    return GateVerdict.TOO_FEW


_HAS_OUTCOMES = text("SELECT EXISTS (SELECT FROM outcomes WHERE model = :model)")
