"""A program that is asked to stop hears it, whatever it is doing at that moment."""

import signal
import subprocess
import sys

from tests.running import ROOT

# Waits in short steps, as our programs do; a thousand signals hit it at every place of that.
WAITS = """
import os, signal, threading, time
from telemetry.shutdown import shutdown_event
stopping = shutdown_event([signal.SIGUSR1, signal.SIGTERM])
def bombard():
    for _ in range(1000):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.0002)
threading.Thread(target=bombard, daemon=True).start()
print("waits", flush=True)
until = time.monotonic() + 0.5
while time.monotonic() < until:
    stopping.wait(0.0001)
assert stopping.is_set()
"""


def test_signals_never_lock_a_program_that_waits_for_them() -> None:
    done = subprocess.run([sys.executable, "-c", WAITS], cwd=ROOT, timeout=120, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_signal_is_enough() -> None:
    program = "import signal; from telemetry.shutdown import shutdown_event; s = shutdown_event([signal.SIGTERM]);"
    command = [sys.executable, "-c", f"{program} print('ready', flush=True); s.wait()"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
