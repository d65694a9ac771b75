"""`millrace webhook-secret`: what a receiver verifies with. In containers: `python -m cli.webhook_secret`."""

import click
from pydantic import ValidationError

from devstack import local
from webhooks.settings import WebhookSettings
from webhooks.signing import key_for, secret_of


@click.command("webhook-secret")
@click.argument("client", required=False)
def webhook_secret(client: str | None) -> None:
    """Print the secret that verifies webhooks to CLIENT; without a CLIENT, of tasks submitted without an API key."""
    try:
        keys = WebhookSettings(webhook_secret=local.webhook_secret()).keys
    except ValidationError as error:
        raise click.UsageError(f"WEBHOOK_SECRET: {error.errors()[0]['msg']}") from None
    click.echo(secret_of(key_for(keys[0], client)))


if __name__ == "__main__":
    webhook_secret()
