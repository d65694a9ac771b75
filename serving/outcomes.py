"""What a model's outcomes are: the kinds of truth that people or systems report, and which one is the target."""

from typing import Literal

import msgspec

MAX_KINDS = 1_000
MAX_KIND = 64
"""Characters."""

Rule = Literal["latest", "majority", "senior"]


class OutcomeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either `kinds` lists the outcomes that there are, or each outcome is a `number`.

    The `target` is the kind that the model's score is the probability of. Where reviewers or sources contradict each
    other, `rule` decides: the latest decision, the majority (of equal numbers the latest), or the most senior of
    `sources`, which lists the senior ones first. In none of the `slices`, fields by which inputs are told apart, may a
    new version be worse.
    """

    kinds: tuple[str, ...] = ()
    target: str | None = None
    number: bool = False
    rule: Rule = "latest"
    sources: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    def fault(self) -> str | None:
        """Return what is wrong with the declaration, and what to do; None: nothing."""
        if bool(self.kinds) == self.number:
            return 'give kinds = ["yes", "no"], or number = true where an outcome is a number'
        if len(set(self.kinds)) < len(self.kinds) or len(self.kinds) > MAX_KINDS:
            return f"kinds must differ, and be {MAX_KINDS} at most"
        if odd := [kind for kind in self.kinds if not 1 <= len(kind) <= MAX_KIND or not kind.isprintable()]:
            return f"the kind {odd[0][:MAX_KIND]!r} must have 1 to {MAX_KIND} printable characters"
        if self.target is not None and self.target not in self.kinds:
            return f"the target {self.target!r} is none of the kinds"
        if (self.rule == "senior") != bool(self.sources):
            return 'rule = "senior" and sources, the senior ones first, go together'
        return None
