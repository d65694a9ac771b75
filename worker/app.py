"""The worker's composition root."""

import sys

import structlog
from celery import Celery

from broker.config import create_celery
from broker.message import queue_of
from broker.settings import BrokerSettings
from models import artifact, catalogue
from store.settings import StoreSettings
from telemetry import logs
from worker import autoscale, delivery, gate
from worker.lifecycle import WorkerProcess
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


def create_worker(settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings) -> Celery:
    app = create_celery(broker.redis)
    process = WorkerProcess(settings, store, broker)
    process.connect_signals()
    delivery.register(app, process, settings.models)
    return app


def _verify(model: str) -> None:
    """End here and now, rather than in every process, when a model's files are not those that were trained."""
    try:
        artifact.verify(artifact.current(model))
    except (artifact.ArtifactMissing, artifact.ArtifactTampered, artifact.UnsafeFormat) as error:
        log.critical("artifact_refused", model=model, reason=str(error))
        sys.exit(1)


def _size(app: Celery, settings: WorkerSettings) -> str:
    """Return Celery's option for the number of processes."""
    if settings.autoscale is None:
        return f"--concurrency={settings.worker_concurrency}"
    app.conf.worker_autoscaler = autoscale.CLASS
    least, most = settings.autoscale
    return f"--autoscale={most},{least}"


def main() -> None:
    """Run a worker until it is told to stop."""
    logs.configure(logs.LogSettings())
    settings = WorkerSettings()
    gate.install()
    for model in settings.models:
        _verify(model)
        catalogue.loader(model)  # the processes to be forked share the imported runtime; none of it is used here
    app = create_worker(settings, StoreSettings(), BrokerSettings())
    queues = ",".join(queue_of(model) for model in settings.models)
    app.worker_main(
        [
            "worker",
            _size(app, settings),
            f"--queues={queues}",
            "--hostname=worker@%h",
            "--loglevel=INFO",
            "--without-gossip",  # chatter between workers that nothing here uses
            "--without-mingle",
        ]
    )
