"""Traces by OpenTelemetry, where TRACING_ENDPOINT names a collector. Otherwise none of it is imported.

A trace goes from the HTTP request through the task's row to the transaction that stores its predictions. A span that
serves one request is its child; a span that serves several at once (a group commit, a chunk) has a link to each.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

HEADER = "traceparent"
"""https://www.w3.org/TR/trace-context/"""

_NOTHING: AbstractContextManager[Any] = nullcontext()


class TracingSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    tracing_endpoint: HttpUrl | None = Field(
        default=None, description="where traces go, by OTLP over HTTP: http://collector:4318/v1/traces; empty: nowhere"
    )
    tracing_sample: float = Field(default=1, ge=0, le=1, description="share of the requests that are traced")


class _State:
    provider: "TracerProvider | None" = None
    tracer: "Tracer | None" = None


def configure(settings: TracingSettings, program: str) -> bool:
    """Begin to trace if there is a collector, and return whether. It starts a thread: call it after a fork."""
    if settings.tracing_endpoint is None:
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.tracing_sample)),
        resource=Resource.create({"service.name": f"millrace-{program}"}),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(str(settings.tracing_endpoint))))
    _State.provider, _State.tracer = provider, provider.get_tracer("millrace")
    return True


def stop() -> None:
    """Send the spans that are still unsent."""
    if _State.provider is not None:
        _State.provider.shutdown()
        _State.provider = _State.tracer = None


def on() -> bool:
    return _State.tracer is not None


def request(method: str, template: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
    """Open the span of a request, as part of the caller's trace if its headers name one. Call it only if `on()`."""
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    assert _State.tracer is not None  # noqa: S101
    return _State.tracer.start_as_current_span(
        f"{method} {template}",
        context=TraceContextTextMapPropagator().extract(headers),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method, "http.route": template},
    )


def span(name: str) -> AbstractContextManager[Any]:
    """Open a span within the current one; do nothing where there is none."""
    if _State.tracer is None:
        return _NOTHING
    from opentelemetry import trace

    within = trace.get_current_span().get_span_context().is_valid
    return _State.tracer.start_as_current_span(name) if within else _NOTHING


def joined(name: str, parents: Iterable[str | None], **attributes: str | int) -> AbstractContextManager[Any]:
    """Open one span that serves these traces (W3C traceparents); do nothing where there are none."""
    if _State.tracer is None or not (traced := [parent for parent in parents if parent]):
        return _NOTHING
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    read = TraceContextTextMapPropagator()
    contexts = [read.extract({HEADER: parent}) for parent in traced]
    if len(contexts) == 1:
        return _State.tracer.start_as_current_span(name, context=contexts[0], attributes=attributes)
    links = [trace.Link(trace.get_current_span(context).get_span_context()) for context in contexts]
    return _State.tracer.start_as_current_span(name, context=Context(), links=links, attributes=attributes)


def current() -> str | None:
    """Return the traceparent of the current span, if it is recorded."""
    if _State.tracer is None:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.trace_flags.sampled:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
