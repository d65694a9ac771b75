"""The faulty model in memory."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOR_EVER = 3600
A_WHILE = 0.8


class Faulty:
    def predict(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
        acts = columns["act"]
        if "exit" in acts:
            os._exit(1)
        if "hang deaf" in acts:
            signal.pthread_sigmask(
                signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM}
            )  # the soft time limit, on either engine
            time.sleep(FOR_EVER)
        if "hang" in acts:
            time.sleep(FOR_EVER)
        if "sleep" in acts:
            time.sleep(A_WHILE)
        if "raise" in acts:
            raise ValueError("this input is poison")
        return {"double": [2 * number for number in columns["number"]]}


def load(artifact: Path) -> Faulty:
    return Faulty()
