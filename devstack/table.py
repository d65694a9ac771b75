"""The table in which `millrace up` says where everything is."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from devstack import local
from devstack.settings import UpSettings


def places(
    settings: UpSettings, metrics_ports: Mapping[str, int], flower_auth: str, unloaded: Mapping[str, str]
) -> Table:
    celery = settings.engine == "celery"
    handler = f"http://127.0.0.1:{settings.port}"
    table = Table(title="Millrace is ready", title_justify="left", title_style="bold green", show_header=False)
    table.add_row("console", f"{handler}/")
    table.add_row("handler", handler)
    table.add_row("API docs", f"{handler}/docs")
    needed = "needed: .venv/bin/millrace keys create NAME"
    table.add_row("API keys", needed if settings.auth == "required" else "not needed (AUTH=off)")
    processes = settings.worker_concurrency
    table.add_row(
        "worker" if celery else "model pool", f"{processes} process{'es' if processes > 1 else ''}, models loaded"
    )
    for model, reason in unloaded.items():
        table.add_row("[red]not loaded[/red]", escape(f"{model}: {reason}"))
    if celery:
        user, password = flower_auth.split(":", 1)
        table.add_row("Flower", f"http://127.0.0.1:{settings.flower_port}")
        table.add_row("", f"user {user}   password {password}")
    if settings.export_url is not None:
        table.add_row("export", settings.export_url)
    metrics = (f"{name} http://127.0.0.1:{port}/metrics" for name, port in metrics_ports.items())
    table.add_row("metrics", "\n".join(metrics))
    table.add_row("SQL", ".venv/bin/millrace psql")
    table.add_row("questions", ".venv/bin/millrace sql")
    table.add_row("logs", f"{local.FOLDER}/logs/*.log")
    return table
