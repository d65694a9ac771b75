"""`python -m webhooks`"""

import asyncio
import logging
import signal

from broker.address import end_without_use
from broker.redis_broker import listen
from broker.settings import BrokerSettings
from telemetry import exporter, logs
from telemetry.settings_errors import exit_on_invalid_settings
from webhooks.deliverer import deliverer


async def deliver() -> None:
    redis_url, registry = BrokerSettings().redis, exporter.registry()
    end_without_use(redis_url)
    delivering = deliverer(lambda: listen(redis_url), registry)
    exporter.serve(registry, exporter.MetricsSettings(), "webhooks")
    for how in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(how, delivering.stop)
    await delivering.run()


@exit_on_invalid_settings()
def main() -> None:
    logs.configure(logs.LogSettings())
    logging.getLogger("httpcore").setLevel("INFO")  # it would log whole URLs, which may hold secrets
    asyncio.run(deliver())


if __name__ == "__main__":
    main()
