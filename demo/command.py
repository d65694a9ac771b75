"""`millrace demo`: fill a platform with simulated traffic and reviews, and show what they say of the report scorer."""

from ipaddress import ip_address
from urllib.parse import urlsplit

import click
from millrace_client import Client
from rich.console import Console

REPORTS = 4_000
FEWEST, MOST = 300, 50_000


@click.command()
@click.option("--url", metavar="URL", help="The server. Default: as for the other commands.")
@click.option(
    "--reports", type=click.IntRange(FEWEST, MOST), default=REPORTS, show_default=True, help="Simulated reports."
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Another one makes other reports.")
@click.option("--yes", is_flag=True, help="Store simulated data on a server that is not on this machine, too.")
@click.pass_context
def demo(context: click.Context, /, url: str | None, reports: int, seed: int, yes: bool) -> None:
    """Fill the platform with simulated reports, reviews and outcomes, and evaluate the report scorer on them.

    Reports are sent and reviewed over HTTP. Their keys begin with demo-, and so do the reviewers' names. In the second
    part of the traffic the inputs drift. Then a second version is trained on the outcomes; it stays a candidate.
    """
    # numpy and the model's generator take a while to import, and no other command needs them
    from demo.demonstration import Demonstration

    given = context.find_root().obj or {}
    with Client(url or given.get("url"), profile=given.get("profile")) as client:
        if not yes and not is_loopback(client.url):
            raise click.UsageError(f"{client.url} is not on this machine; --yes stores simulated reports there, too")
        Demonstration(client, Console(highlight=False), seed).run(reports)


def is_loopback(url: str) -> bool:
    """Return whether the address is one of this machine that nobody else reaches."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
