"""Looks at a file as a dry run: what would be rejected. Nothing is stored."""

import os
from typing import Any

from millrace_client import formats, operations, reading
from millrace_client.client import Client
from millrace_client.file_options import FileOptions

MAX_LISTED = 100
"""Rejected rows that are listed; all are counted."""


def validate_file(client: Client, path: Any, options: FileOptions) -> dict[str, Any]:
    """Return how many rows are `valid` and `rejected`, and the first of the `rejects`. Raises MillraceError."""
    name = os.fspath(path)
    form = formats.format_of(name, options.input_format)
    limit = client.model(options.model).max_inputs or 1
    valid = rejected = first_row = 0
    listed: list[dict[str, Any]] = []
    with formats.opened(name, form) as file:
        found = reading.parts(file, form, options.columns, max_rows=limit, encoding=options.encoding)
        for part in found:
            step = operations.validate(options.model, part.body, part.content_type, client.deadline())
            answer = client.run(step)
            valid, rejected = valid + answer["valid"], rejected + answer["rejected"]
            listed += [{**reject, "row": reject["row"] + first_row} for reject in answer["rejects"]]
            first_row += part.n_rows
    return {"valid": valid, "rejected": rejected, "rejects": listed[:MAX_LISTED]}
