"""Answers requests that no operation takes: an unknown path, a method that is not supported, a slash too many."""

from collections import defaultdict
from collections.abc import Sequence

from starlette.responses import RedirectResponse, Response

from handler.http.operation import ANY_METHOD, AnswerFunction, Operation
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services


async def _not_found(request: ApiRequest, services: Services, client: str | None) -> Response:
    detail = f"There is no endpoint at {request.url.path}; /docs lists the endpoints."
    raise RequestRefused(ProblemKind.NOT_FOUND, detail)


NOT_FOUND = Operation(ANY_METHOD, "unknown", _not_found, public=True)
"""Its path is a label in metrics and traces, so that no path that a client invents becomes one."""


def operations(supported: Sequence[Operation]) -> list[Operation]:
    """Return what answers, at the paths of these operations, all that they do not."""
    methods: defaultdict[str, list[str]] = defaultdict(list)
    for operation in supported:
        methods[operation.path] += ["GET", "HEAD"] if operation.method == "GET" else [operation.method]
    wrong = [Operation(ANY_METHOD, path, _refuse_method(allowed), public=True) for path, allowed in methods.items()]
    slash = [Operation(ANY_METHOD, f"{path}/", _without_slash, public=True) for path in methods if path != "/"]
    return [*wrong, *slash]


def _refuse_method(allowed: Sequence[str]) -> AnswerFunction:
    async def answer(request: ApiRequest, services: Services, client: str | None) -> Response:
        detail = f"{request.url.path} does not support {request.method}; see the Allow header."
        raise RequestRefused(ProblemKind.METHOD_NOT_ALLOWED, detail, headers={"Allow": ", ".join(allowed)})

    return answer


async def _without_slash(request: ApiRequest, services: Services, client: str | None) -> Response:
    url = request.url
    return RedirectResponse(str(url.replace(path=url.path.rstrip("/"))))
