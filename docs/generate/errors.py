"""The error reference: every kind of problem that the API answers with."""

from docs.generate import row, table
from handler.problems import ProblemKind

INTRODUCTION = """# Errors

Every response that is not a success is a problem (RFC 9457, `application/problem+json`). `type` names its kind and
never changes. `detail` says what is wrong and what to do. `errors` names the first 100 wrong fields by their places.

```json
{"type": "urn:millrace:problem:invalid-input", "title": "Invalid input", "status": 422,
 "detail": "1 error in the input; nothing was stored.",
 "errors": [{"detail": "Must be at most 5, not 9", "pointer": "#/17/popularity"}]}
```

Under `/v2` the body is `{"error": "…"}`, as the Open Inference Protocol has it.
"""


def page() -> str:
    """Return the page, the kinds by status."""
    rows = (row(str(kind.status), f"`{kind.slug}`", kind.title, kind.cause, kind.remedy) for kind in ProblemKind)
    return f"{INTRODUCTION}\n" + table("status", "kind", "title", "cause", "remedy") + "".join(rows)
