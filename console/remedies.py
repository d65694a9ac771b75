"""What to do about a task that has failed, by how its error begins."""

from store.states import Status

_BY_BEGINNING = {
    "worker lost": (
        "Workers ended while they scored this task, most often for want of memory. Look at the worker's log, then "
        "replay the task; submit its inputs in several tasks if it ends workers again."
    ),
    "the model ": "Promote a version of the model and start a worker that serves it, then replay the task.",
    "deadline passed": "Submit the inputs again with a later deadline, or without one.",
    "cancelled by": "Submit the inputs again if they are still to be scored.",
    "scoring took longer": "Submit fewer inputs at once; the model has a limit of seconds for each task.",
}
_FAULTS = "Correct the inputs that are listed below, and submit them again."
_ELSE = "Remove the cause that the error names, then replay the task: its inputs were kept."


def remedy_of(error: str | None, status: str, faults: bool = False) -> str | None:
    """Return what to do about a task that ended without outputs; None for any other."""
    if error is None or status == Status.SUCCESS:
        return None
    if faults:
        return _FAULTS
    return next((remedy for beginning, remedy in _BY_BEGINNING.items() if error.startswith(beginning)), _ELSE)
