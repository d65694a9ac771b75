"""The programs that `millrace up` runs beside its servers, with what each is told."""

import sys
from collections.abc import Mapping

from cli import local
from cli.programs import Program
from cli.up_settings import UpSettings


def services(
    settings: UpSettings,
    database_url: str,
    redis_url: str | None,
    metrics_ports: Mapping[str, int],
    flower_auth: str,
    stop_seconds: float,
) -> list[Program]:
    """Return them, not yet started; without a Redis only the handler, which then scores itself (ENGINE=pool)."""
    logs = local.FOLDER / "logs"
    python = [sys.executable, "-m"]
    ours = {
        "ENGINE": settings.engine,
        "DATABASE_URL": database_url,
        **({"REDIS_URL": redis_url} if redis_url else {}),
        "WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "WORKER_GRACE_SECONDS": str(stop_seconds / 2),
        "POOL_GRACE_SECONDS": str(stop_seconds / 3),
        "AUTH": settings.auth,
        "WEBHOOK_SECRET": local.webhook_secret(),
        "OMP_NUM_THREADS": "1",  # worker processes are the parallelism; their threads would fight over the cores
    }
    metrics = {name: {**ours, "METRICS": f"127.0.0.1:{port}"} for name, port in metrics_ports.items()}
    uvicorn = ["uvicorn", "--factory", "handler.app:create_app", "--http=handler.connection:Connection"]
    uvicorn += ["--no-access-log", "--timeout-graceful-shutdown=3", f"--port={settings.port}"]
    handler = Program("handler", [*python, *uvicorn], metrics["handler"], logs)
    if redis_url is None:
        return [handler]
    flower = [*python, "celery", "flower", "--address=127.0.0.1", f"--port={settings.flower_port}"]
    return [
        handler,
        Program("worker", [*python, "worker"], metrics["worker"], logs),
        Program("rescue", [*python, "worker.rescue"], metrics["rescue"], logs),
        Program("webhooks", [*python, "worker.webhooks"], metrics["webhooks"], logs),
        Program("flower", flower, {"CELERY_BROKER_URL": redis_url, "FLOWER_BASIC_AUTH": flower_auth}, logs),
    ]
