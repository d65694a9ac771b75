"""What a run of faults came to, for people and for programs."""

import json
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.checker import Verdict
from tests.faults.stream import Ledger
from tests.running import ROOT

FOLDER = ROOT / "build" / "faults"


@dataclass
class Report:
    name: str
    seed: int
    seconds: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "no fault")
    """Seconds from the end of faults until all that was accepted by then was final, and after which faults."""
    discarded: int = 0
    """Results of zombies that changed nothing."""
    strikes: list[str] = field(default_factory=list)
    """When which faults struck, and what became of them; the last may have no end."""

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name.replace(' ', '-')}-{self.seed}.json"

    @property
    def evidence(self) -> Path:
        """The folder for what explains this run, if it fails."""
        return self.file.with_suffix("")

    def struck(self, what: str) -> None:
        self.strikes.append(f"{datetime.now(UTC).time().isoformat('milliseconds')} {what}")
        print(self.strikes[-1], flush=True)

    def recovered(self, seconds: float, after: str) -> None:
        self.slowest = max(self.slowest, (round(seconds, 1), after))

    def conclude(self, verdict: Verdict, ledger: Ledger) -> None:
        """Print the report and write it to build/faults."""
        result = {
            "name": self.name,
            "seed": self.seed,
            "seconds": round(self.seconds),
            "faults": dict(sorted(self.faults.items())),
            **{key: len(value) if isinstance(value, list) else value for key, value in vars(verdict).items()},
            "ended": dict(sorted(verdict.ended.items())),
            "read": len(ledger.read),
            "cancelled": sum(ledger.cancelled.values()),
            "replayed": ledger.replayed.total(),
            "called_back": len(ledger.called_back),
            "zombie_results_discarded": self.discarded,
            "slowest_recovery_seconds": self.slowest[0],
            "slowest_recovery_after": self.slowest[1],
            "answers": dict(sorted(ledger.answers.items())),
            "errors": verdict.errors,
            "strikes": self.strikes,
        }
        self._write(result)
        shown = {key: value for key, value in result.items() if key not in ("errors", "faults", "strikes")}
        print(f"\n{'':-<100}")
        print("\n".join(f"{key.replace('_', ' '):26} {value}" for key, value in shown.items()))
        print("\n".join(f"{count:4} x {fault}" for fault, count in sorted(self.faults.items())))
        if verdict.errors:
            print(verdict)

    def broke_off(self, error: BaseException, ledger: Ledger) -> None:
        """Write what is known of a run that ended before its verdict."""
        result = {
            "name": self.name,
            "seed": self.seed,
            "broke_off": traceback.format_exception(error),
            "broken": ledger.broken,
            "answers": dict(sorted(ledger.answers.items())),
            "strikes": self.strikes,
        }
        self._write(result)
        print(f"\nThe run broke off: {error!r}. {self.evidence} has its logs.")

    def _write(self, result: Mapping[str, object]) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
