"""Spans for an OpenTelemetry collector: one per committed cycle and one per decided recharge.

Imported only where `tracing_endpoint` is set (extra `tracing`). A cycle works on thousands of events of many traces,
and a recharge belongs to none of them: so each span begins a trace of its own and links to the usage that made a
recharge necessary. Spans are made after the fact, from what the cycle has counted anyway: no event pays for one.
Attributes are counts, outcomes and ids of recharges; never a number, a key or a payload.
"""

from collections.abc import Iterable
from time import time_ns
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from processor import __version__
from processor.contracts import topics
from processor.observability.metrics import Metrics
from processor.payments.batch import Command, Headers
from processor.payments.provider import Decision
from processor.stream.work import Work

LINKS_MAX: Final = 128
"""The specification's limit for one span."""

_extract: Final = TraceContextTextMapPropagator().extract


def open_tracer(endpoint: str, service: str, instance: str) -> Tracer:
    """Returns a tracer that sends its spans from a thread of its own, and the rest when the process ends.

    Sampling, headers and batching follow the standard `OTEL_…` variables.
    """
    resource = Resource.create(
        {"service.name": service, "service.version": __version__, "service.instance.id": instance}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return provider.get_tracer("processor", __version__)


class TracedMetrics(Metrics):
    """Metrics that leave a span of every committed cycle besides."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def committed(self, work: Work, commit_s: float) -> None:
        """Counts one committed cycle, and links it to the usage behind its recharge commands."""
        super().committed(work, commit_s)
        commands = [output for output in work.outputs if output[0] == topics.RECHARGE_COMMANDS] if work.requests else []
        span = self._tracer.start_span(
            "cycle",
            kind=SpanKind.CONSUMER,
            links=_links(headers for *_, headers in commands if headers is not None),
            start_time=int(work.now.timestamp() * 1e9),
            attributes={
                "messaging.system": "kafka",
                "messaging.batch.message_count": work.events,
                "credits.recharges_requested": len(work.requests),
                "credits.parked": work.parked.total(),
                "credits.timers": work.timers,
                "credits.commit_seconds": commit_s,
            },
        )
        span.end()


class PaymentSpans:
    """Leaves a span of every recharge whose result is committed, from when its command was read."""

    def __init__(self, tracer: Tracer, provider: str) -> None:
        self._tracer, self._provider = tracer, provider

    def __call__(self, command: Command, decision: Decision, read_ns: int) -> None:
        """Links the span to the usage that made the recharge necessary; retried commands are linked once more."""
        said: dict[str, AttributeValue] = {
            "messaging.system": "kafka",
            "messaging.destination.name": topics.RECHARGE_COMMANDS,
            "messaging.destination.partition.id": str(command.partition),
            "messaging.kafka.offset": command.offset,
            "credits.recharge_id": command.charge.recharge_id,
            "credits.provider": self._provider,
            "credits.status": decision.status,
        }
        if decision.reason_code is not None:
            said["credits.reason"] = decision.reason_code
        span = self._tracer.start_span(
            "recharge", kind=SpanKind.CONSUMER, links=_links([command.headers]), start_time=read_ns, attributes=said
        )
        span.end(time_ns())


def _links(records: Iterable[Headers]) -> list[Link]:
    """Returns a link for each record that carries a trace context."""
    carriers = ({name: _text(value) for name, value in headers} for headers in records)
    contexts = [get_current_span(_extract(carrier)).get_span_context() for carrier in carriers]
    return [Link(context) for context in contexts if context.is_valid][:LINKS_MAX]


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""
