"""Serves a program's metrics to Prometheus: `GET /metrics` on a port of its own, never on one that clients reach."""

import re
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

log = structlog.get_logger(__name__)

OFF = "off"

PORTS = {"handler": 9641, "worker": 9642, "rescue": 9643, "webhooks": 9644, "export": 9645}
"""The ports where METRICS gives none: one for each program, so that all of them run on one machine."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^\[\]:\s]+)(?::(?P<port>[0-9]{1,5}))?")


class MetricsSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    metrics: str = Field(
        default="127.0.0.1",
        pattern=f"^(?:{_ADDRESS.pattern})$",
        description="where Prometheus reads the program's metrics: host, for the program's own port, or "
        "host:port; off: nowhere",
    )

    def address(self, program: str) -> tuple[str, int] | None:
        """Return the host and port for this program's metrics; None: METRICS is off."""
        found = _ADDRESS.fullmatch(self.metrics)
        if self.metrics == OFF or found is None:
            return None
        return found["host"].strip("[]"), int(found["port"] or PORTS[program])


def registry() -> CollectorRegistry:
    """Return a new registry with the metrics of every process: CPU, memory, open files, its Python."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter
    made = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    return made


def serve(metrics: CollectorRegistry, settings: MetricsSettings, program: str) -> WSGIServer | None:
    """Serve the metrics from a thread, until the program ends.

    If the port cannot be used, log it: the program does its work all the same.
    """
    address = settings.address(program)
    if address is None:
        return None
    host, port = address
    try:
        server, _ = start_http_server(port, host, metrics)
    except OSError as error:
        log.warning("metrics_not_served", host=host, port=port, reason=str(error))
        return None
    log.info("metrics_served", address=f"http://{host}:{server.server_port}/metrics")
    return server
