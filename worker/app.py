"""The worker's composition root."""

from celery import Celery

from broker.config import create_celery
from broker.message import queue_of
from broker.settings import BrokerSettings
from models import artifact, catalogue
from store.settings import StoreSettings
from telemetry import logs
from worker import delivery
from worker.lifecycle import WorkerProcess
from worker.settings import WorkerSettings


def create_worker(settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings) -> Celery:
    app = create_celery(str(broker.redis_url))
    process = WorkerProcess(settings, store, broker)
    process.connect_signals()
    delivery.register(app, process, catalogue.specs())
    return app


def main() -> None:
    """Run a worker until it is told to stop."""
    logs.configure(logs.LogSettings())
    settings = WorkerSettings()
    for model in catalogue.specs():
        artifact.verify(artifact.current(model))  # refuse to start, rather than fail in every process
        catalogue.loader(model)  # the processes to be forked share the imported runtime; none of it is used here
    app = create_worker(settings, StoreSettings(), BrokerSettings())
    queues = ",".join(queue_of(model) for model in catalogue.specs())
    app.worker_main(
        [
            "worker",
            f"--concurrency={settings.worker_concurrency}",
            f"--queues={queues}",
            "--hostname=worker@%h",
            "--loglevel=INFO",
            "--without-gossip",  # chatter between workers that nothing here uses
            "--without-mingle",
        ]
    )
