"""Whether a version may take the live one's place: what the gate has found, and what then rests on a person."""

from collections.abc import Iterable, Sequence
from shlex import quote
from typing import NamedTuple

from sqlalchemy import Connection, text

from evaluation.verdict import GateVerdict
from registry import versions
from registry.administration import RegistryRefused
from registry.outcome_views import rules_of
from registry.versions import ModelVersion, Registry
from serving.contract import Spec
from serving.outcomes import OutcomeRules
from store import models, version_scores

FORCED, NOT_ASKED, EXCEPTED = "forced: ", "not asked", "; excepted: "


class GateRefused(RegistryRefused):
    """The version is not to be promoted as things stand; the message says what a person can do."""


def contenders(registry: Registry, model: str, version: str | None) -> tuple[ModelVersion, ModelVersion] | None:
    """Return the live version and the one that is to take its place, by default the one that was added last.

    None where the gate has no say: nothing is live, there is no such other version, or the model declares no outcome
    that its score is the chance of or that its label is a guess of.
    """
    found = registry.versions_of(model)
    live = registry.live.get(model)
    new = registry.version(model, version) if version else (found[-1] if found else None)
    rules = rules_of(registry, model)
    if live is None or new is None or new is live or rules is None or not _compares(*rules):
        return None
    return live, new


def _compares(spec: Spec, rules: OutcomeRules) -> bool:
    """Return whether outcomes tell a better version from a worse one; labels that are personal are not kept."""
    is_label = spec.label is not None and spec.label not in spec.personal
    return rules.target is not None or (is_label and not rules.number)


def in_order(excepted: Iterable[str]) -> tuple[str, ...]:
    """Return exceptions as verdicts are kept with them: each once, in one order."""
    return tuple(sorted(set(excepted)))


def require(
    connection: Connection,
    model: str,
    version: str | None,
    reason: str | None,
    *,
    force: bool = False,
    excepted: Iterable[str] = (),
) -> str | None:
    """Return what the gate said of the version that is to be promoted; None: it has no say. Raises GateRefused.

    It passes a version that it found not to be worse. Where it had too few outcomes to say, or there are none, the
    promotion rests on a person's reason. With `force` and a reason any version passes, and the
    words begin with FORCED. With slices `excepted` and a reason, the verdict made with the same exceptions counts, and
    the words end with them.
    """
    models.lock(connection)  # so that nothing else becomes live between the question and the promotion
    registry = versions.read(connection)
    found = contenders(registry, model, version)
    excused = in_order(excepted)
    if found is None and version is not None and registry.version(model, version) is None:
        return None  # the promotion says that there is no such version
    _check(model, found, reason, force=force, excused=excused)
    if found is None:
        return None
    live, new = found
    said = version_scores.last_verdict(connection, (model, new.version), live.version, excused)
    verdict = None if said is None else GateVerdict(said)
    if force:
        return f"{FORCED}{verdict or NOT_ASKED}"
    refusal = _Refusal(f"{model}@{new.version}", live.version, excused)
    if verdict is GateVerdict.FAIL:
        raise GateRefused(refusal.worse)
    if verdict is None and (excused or connection.scalar(_HAS_OUTCOMES, {"model": model})):
        raise GateRefused(refusal.not_compared)
    if verdict is not GateVerdict.PASS and not reason:
        raise GateRefused(
            f"too few outcomes tell whether {refusal.new} is worse than {live.version}, which is live: give a reason, "
            "on which the promotion then rests"
        )
    return f"{verdict or GateVerdict.TOO_FEW}{EXCEPTED if excused else ''}{', '.join(excused)}"


def _check(model: str, found: object, reason: str | None, *, force: bool, excused: Sequence[str]) -> None:
    if excused and force:
        raise GateRefused("force goes past the whole gate: give it, or exceptions, not both")
    if excused and found is None:
        raise GateRefused(f"the gate has no say on this version of {model}, so there is nothing to except")
    if found is not None and not reason and (force or excused):
        raise GateRefused(f"{'going past the gate' if force else 'an exception from the gate'} needs a reason")


class _Refusal(NamedTuple):
    """What is refused, in words that say what a person can do."""

    new: str
    live: str
    excused: Sequence[str]

    @property
    def asking(self) -> str:
        return " ".join(["millrace models gate", self.new, *(f"--except {quote(one)}" for one in self.excused)])

    @property
    def worse(self) -> str:
        beyond = f" beyond {', '.join(self.excused)}" if self.excused else ""
        return (
            f"the gate found {self.new} worse than {self.live}, which is live{beyond}: `{self.asking}` says "
            "where; to promote it all the same, give force and a reason"
        )

    @property
    def not_compared(self) -> str:
        terms = f" with {', '.join(self.excused)} excepted" if self.excused else ""
        return (
            f"the gate has not compared {self.new} with {self.live}, which is live{terms}: run `{self.asking}`, or "
            "give force and a reason"
        )


_HAS_OUTCOMES = text("SELECT EXISTS (SELECT FROM outcomes WHERE model = :model)")
