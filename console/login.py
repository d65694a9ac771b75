"""Sign in with an API key, and out again."""

from starlette.responses import Response

from console.page import Answer, Visit, own_path
from console.session import delete_cookie, set_cookie
from handler.auth.caller import ANYBODY
from handler.problems import ProblemKind


async def login(visit: Visit) -> Response:
    """Ask for an API key; who is signed in, and everybody with AUTH=off, goes on."""
    back = own_path(visit.request.query_params.get("next", "/"))
    if visit.visitor is not None:
        return visit.go_to(back)
    return visit.render("login.html", here="login", back=back, wrong=False)


async def sign_in(visit: Visit) -> Response:
    """Begin a session of 12 hours with a key that is in force. The key itself is kept nowhere."""
    if visit.services.authenticator is not None:  # who guesses keys has the address's rate limit
        visit.services.authenticator.count(visit.request, ANYBODY)
    form = await visit.form()
    back = own_path(str(form.get("next", "/")))
    token = await visit.console.sessions.token(visit.services, str(form.get("key", "")).strip())
    if token is None:
        return visit.render("login.html", ProblemKind.KEY_REFUSED.status, here="login", back=back, wrong=True)
    response = visit.go_to(back)
    set_cookie(visit.request, response, token)
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session in this browser."""
    response = visit.go_to("/console/login")
    delete_cookie(visit.request, response)
    return response


PAGES: list[tuple[str, Answer]] = [("/console/login", login)]
CHANGES: list[tuple[str, Answer]] = [("/console/login", sign_in), ("/console/logout", sign_out)]
