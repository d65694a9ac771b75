"""Turns the signals that ask a program to shut down into an event."""

import signal
import threading
from collections.abc import Iterable
from queue import SimpleQueue


def shutdown_event(signals: Iterable[signal.Signals]) -> threading.Event:
    """Return an event that is set when one of these signals arrives. Call it in the main thread.

    A signal interrupts the main thread anywhere, also while it waits for the event and holds its lock: setting it there
    would wait for that lock for ever. Putting into a SimpleQueue is safe, and another thread sets the event.
    """
    event = threading.Event()
    received: SimpleQueue[int] = SimpleQueue()

    def wait() -> None:
        received.get()
        event.set()

    for number in signals:
        signal.signal(number, lambda arrived, _: received.put(arrived))
    threading.Thread(target=wait, name="wait for a signal", daemon=True).start()
    return event
