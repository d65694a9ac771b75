"""The ports that `millrace up` gives to its programs."""

import socket

from devstack.errors import PortTaken

METERED = ("handler", "worker", "rescue", "webhooks", "export")
"""The programs with metrics, on consecutive ports."""

FIRST, STEP, TRIES = 9641, 10, 10


def refuse_taken(**ports: int) -> None:
    """Raise PortTaken for the first of these, given by the settings that choose them, that is in use."""
    for name, port in ports.items():
        if not _is_free(port):
            raise PortTaken(f"port {port} is in use; choose another: make up {name}={port + 1}")


def for_metrics(chosen: int | None) -> dict[str, int]:
    """Return a port for each program with metrics: from `chosen` on, or else where they are free. Raises PortTaken."""
    firsts = range(FIRST, FIRST + STEP * TRIES, STEP) if chosen is None else [chosen]
    for first in firsts:
        ports = {name: first + place for place, name in enumerate(METERED)}
        if all(map(_is_free, ports.values())):
            return ports
    raise PortTaken(f"ports from {firsts[0]} on are in use; choose others: make up METRICS_PORT={firsts[-1] + STEP}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
