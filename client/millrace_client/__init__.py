"""The client of Millrace: submit inputs to models, read their scores, and score whole files.

from millrace_client import Client

with Client("http://127.0.0.1:8081") as client:
    scored = client.score([{"abuse_type": "MSG", ...}], model="report_scorer")
"""

import importlib
from typing import TYPE_CHECKING, Any

VERSION = "0.1.0"

if TYPE_CHECKING:
    from millrace_client.async_client import AsyncClient, AsyncTask
    from millrace_client.client import Client, Task
    from millrace_client.errors import (
        ApiError,
        Conflict,
        DeadlineExceeded,
        InvalidInput,
        MillraceError,
        NotFound,
        ServerUnavailable,
        TaskFailed,
        Unauthorized,
    )
    from millrace_client.models import Job, Model, TaskState
    from millrace_client.outcomes import OutcomeCounts
    from millrace_client.webhooks import InvalidSignature, verify_webhook

__all__ = [
    "VERSION",
    "ApiError",
    "AsyncClient",
    "AsyncTask",
    "Client",
    "Conflict",
    "DeadlineExceeded",
    "InvalidInput",
    "InvalidSignature",
    "Job",
    "MillraceError",
    "Model",
    "NotFound",
    "OutcomeCounts",
    "ServerUnavailable",
    "Task",
    "TaskFailed",
    "TaskState",
    "Unauthorized",
    "verify_webhook",
]

_MODULES = ("client", "async_client", "outcomes", "models", "webhooks", "errors")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a program that only verifies webhooks needs no HTTP library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return next(
        value
        for module in reversed(_MODULES)
        if (value := vars(importlib.import_module(f"millrace_client.{module}")).get(name)) is not None
    )
