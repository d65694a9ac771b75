"""`millrace tasks` and `millrace task`: what the server says of tasks."""

import click

from millrace_client.cli.connection import client
from millrace_client.cli.output import AS_JSON, print_facts, print_rows

COLUMNS = ("task_id", "status", "model", "model_version", "n_inputs", "submitted_at", "finished_at", "error")


@click.command()
@click.option("--status", help="Only tasks in this state, such as FAILURE.")
@click.option("--model", help="Only tasks of this model.")
@click.option("--submitted-after", metavar="TIME", help="RFC 3339, such as 2026-01-31T09:00:00Z.")
@click.option("--submitted-before", metavar="TIME")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@AS_JSON
@click.pass_context
def tasks(context: click.Context, /, limit: int, as_json: bool, **filters: str | None) -> None:
    """List tasks, newest first."""
    asked = {name: value for name, value in filters.items() if value is not None}
    with client(context) as opened:
        print_rows(COLUMNS, opened.tasks(limit=limit, **asked), as_json)


@click.command()
@click.argument("task_id")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@click.option("--timeout", type=float, default=600, show_default=True, help="Seconds to wait at most.")
@AS_JSON
@click.pass_context
def task(context: click.Context, task_id: str, wait: bool, timeout: float, as_json: bool) -> None:
    """Show a task, and its outputs once it has succeeded."""
    from millrace_client.client import Task

    with client(context) as opened:
        state = Task(opened, task_id).wait(timeout) if wait else opened.task(task_id)
    facts = {name: getattr(state, name) for name in (*COLUMNS, "errors")}
    print_facts({**facts, "errors": state.errors or None, **state.outputs}, as_json)
