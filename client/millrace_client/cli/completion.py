"""`millrace completion`: what a shell runs to complete our commands, options and names."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete `millrace`. For bash: eval "$(millrace completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101
    root = context.find_root().command
    click.echo(kind(root, {}, "millrace", "_MILLRACE_COMPLETE").source())
