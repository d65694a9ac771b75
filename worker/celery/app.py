"""The worker's composition root."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from celery import Celery

from broker.address import end_without_use
from broker.config import create_celery
from broker.settings import BrokerSettings
from registry.artifacts import ArtifactCache, ArtifactSettings
from runtimes import code_model
from serving import scratch
from store.settings import StoreSettings
from telemetry import logs
from telemetry.settings_errors import exit_on_invalid_settings
from worker.celery import autoscaler, model_queues, remote_control, transport
from worker.celery.delivery import WorkerProcess
from worker.celery.model_queues import NOTHING, ScoringTasks
from worker.celery.model_watch import ModelWatch
from worker.scoring.self_test import SelfTests
from worker.scoring.wanted import wanted
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


def create_worker(settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings, watch: ModelWatch) -> Celery:
    app = create_celery(broker.redis, ScoringTasks)
    app.steps["worker"].add(transport.EventLoopStep)
    app.steps["consumer"].add(transport.EventsStep)
    model_queues.follow(app, watch)
    WorkerProcess(settings, store, broker, watch).register(app)
    return app


def _concurrency(app: Celery, settings: WorkerSettings) -> str:
    """Return Celery's option for the number of processes, and set the autoscaler if the number is to vary."""
    if settings.autoscale is None:
        return f"--concurrency={settings.worker_concurrency}"
    app.conf.worker_autoscaler = autoscaler.CLASS
    least, most = settings.autoscale
    return f"--autoscale={most},{least}"


@exit_on_invalid_settings()
def main() -> None:
    """Run a worker until a signal stops it."""
    logs.configure(logs.LogSettings())
    settings, broker = WorkerSettings(), BrokerSettings()
    end_without_use(broker.redis)
    remote_control.restrict()
    store = StoreSettings()
    scratch.sweep(code_model.scratch_folder())
    with TemporaryDirectory(prefix="millrace-worker-") as verdicts:
        tests = SelfTests(Path(verdicts))
        cache = ArtifactCache(ArtifactSettings().model_cache)
        watch = ModelWatch(store, cache, tests, settings.chosen)
        watch.wait()
        if unknown := sorted(set(settings.chosen) - set(watch.registry.models)):
            sys.exit(f"WORKER_MODELS names no model {', '.join(unknown)}; there is: {', '.join(watch.registry.models)}")
        if not watch.queues and wanted(watch.registry, settings.chosen):
            log.critical("no_model_loaded", models=list(wanted(watch.registry, settings.chosen)))
            sys.exit(1)
        transport.install(watch.registry.bounds)
        watch.start()
        app = create_worker(settings, store, broker, watch)
        app.worker_main(
            [
                "worker",
                _concurrency(app, settings),
                f"--queues={','.join(sorted(watch.queues) or [NOTHING])}",
                "--hostname=worker@%h",
                "--loglevel=INFO",
                "--without-gossip",  # messages between workers that nothing here uses
                "--without-mingle",
            ]
        )
