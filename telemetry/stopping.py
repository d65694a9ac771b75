"""Hears the signals by which a program is asked to stop."""

import signal
import threading
from collections.abc import Iterable
from queue import SimpleQueue


def asked_to_stop(by: Iterable[signal.Signals]) -> threading.Event:
    """Return an event that is set when one of these signals has come. Call it in the main thread.

    A signal interrupts the main thread anywhere, also while it waits for the event and holds its lock: setting it there
    would wait for that lock for ever. Putting something into a SimpleQueue is safe, and another thread sets the event.
    """
    stopping = threading.Event()
    heard: SimpleQueue[int] = SimpleQueue()

    def stop() -> None:
        heard.get()
        stopping.set()

    for number in by:
        signal.signal(number, lambda received, _: heard.put(received))
    threading.Thread(target=stop, name="asked to stop", daemon=True).start()
    return stopping
