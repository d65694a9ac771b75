"""`python -m rescue`"""

import signal

import structlog

from broker.address import end_without_use
from broker.redis_broker import RedisBroker
from broker.settings import BrokerSettings
from registry.versions import Registry
from rescue.metrics import RescueMetrics
from rescue.rounds import Rescue
from rescue.settings import RescueSettings
from store.engine import WatchedEngine
from store.settings import StoreSettings
from telemetry import exporter, logs
from telemetry.settings_errors import exit_on_invalid_settings
from telemetry.shutdown import shutdown_event

log = structlog.get_logger("rescue")


@exit_on_invalid_settings()
def main() -> None:
    logs.configure(logs.LogSettings())
    redis_url = BrokerSettings().redis
    end_without_use(redis_url)
    models = Registry()
    broker = RedisBroker(redis_url, models.bounds)
    store = StoreSettings()
    engine = WatchedEngine(store.database_url, store.database_timeout_seconds)
    registry = exporter.registry()
    rescue = Rescue(engine, broker, RescueSettings(), RescueMetrics(registry), models)
    exporter.serve(registry, exporter.MetricsSettings(), "rescue")
    stopping = shutdown_event((signal.SIGTERM, signal.SIGINT))
    log.info("rescue_started")
    rescue.run(stopping)


if __name__ == "__main__":
    main()
