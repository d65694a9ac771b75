"""Says at the door whether a callback URL can be delivered to. Asks nobody: what a name resolves to is seen later."""

from handler.problems import Refused
from webhooks.settings import WebhookSettings
from webhooks.urls import UrlRefused, target

PARAMETER = "callback_url"


def checked(url: str, settings: WebhookSettings) -> str:
    """Return the callback URL if it can be delivered to. Raises Refused."""
    if not settings.keys:
        raise _refused("webhooks-off", "Webhooks are off here: set WEBHOOK_SECRET, which signs them, or poll the task")
    try:
        target(url, allow_private=settings.webhook_allow_private)
    except UrlRefused as error:
        raise _refused("invalid-callback-url", str(error)) from None
    return url


def _refused(kind: str, detail: str) -> Refused:
    return Refused(422, kind, f"{PARAMETER}: {detail}.", errors=[{"detail": detail, "parameter": PARAMETER}])
