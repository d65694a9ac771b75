"""The programs that `millrace up` runs beside its servers, with what each is told."""

import os
import sys
from collections.abc import Mapping

from devstack import local
from devstack.programs import Program
from devstack.settings import UpSettings

FLOWER = {"FLOWER_MAX_TASKS": "2000", "FLOWER_PURGE_OFFLINE_WORKERS": "300"}
"""What bounds Flower's memory: the deliveries and the workers of the past that it remembers. As in the Dockerfile, the
environment overrides it."""


def services(
    settings: UpSettings,
    database_url: str,
    redis_url: str | None,
    metrics_ports: Mapping[str, int],
    flower_auth: str,
    stop_seconds: float,
) -> list[Program]:
    """Return them, not yet started; without a Redis only the handler, which then scores itself (ENGINE=pool).

    With EXPORT_URL, the export is one of them.
    """
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
        "MODEL_CACHE": str(local.FOLDER / "models"),
        "TMPDIR": str(local.TEMPORARY),
        "OMP_NUM_THREADS": "1",  # worker processes are the parallelism; their threads would fight over the cores
    }
    metrics = {name: {**ours, "METRICS": f"127.0.0.1:{port}"} for name, port in metrics_ports.items()}
    uvicorn = ["uvicorn", "--factory", "handler.app:create_app", "--http=handler.connection:Connection"]
    uvicorn += ["--no-access-log", "--timeout-graceful-shutdown=3", f"--port={settings.port}"]
    handler = Program("handler", [*python, *uvicorn], metrics["handler"], logs)
    export = []
    if settings.export_url is not None:
        told = {name: ours[name] for name in ("DATABASE_URL", "TMPDIR")} | {"EXPORT_URL": settings.export_url}
        told["METRICS"] = metrics["export"]["METRICS"]
        export = [Program("export", [*python, "export"], told, logs)]
    if redis_url is None:
        return [handler, *export]
    flower = [*python, "celery", "flower", "--address=127.0.0.1", f"--port={settings.flower_port}"]
    flower_settings = {
        **{name: os.environ.get(name, default) for name, default in FLOWER.items()},
        "TMPDIR": str(local.TEMPORARY),
        "CELERY_BROKER_URL": redis_url,
        "FLOWER_BASIC_AUTH": flower_auth,
    }
    return [
        handler,
        Program("worker", [*python, "worker"], metrics["worker"], logs),
        Program("rescue", [*python, "rescue"], metrics["rescue"], logs),
        Program("webhooks", [*python, "webhooks"], metrics["webhooks"], logs),
        *export,
        Program("flower", flower, flower_settings, logs),
    ]
