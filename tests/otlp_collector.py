"""An OpenTelemetry collector in the test's own process: OTLP over HTTP with real protobuf, kept in memory."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What arrived, and where to send more."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.endpoint = ""

    def spans(self, service: str) -> list[Span]:
        """Returns the spans of one service, in the order of their arrival."""
        found = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                if names["service.name"] == service:
                    found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    def linked(self, service: str) -> set[str]:
        """Returns the ids of the traces that the spans of a service link to."""
        return {link.trace_id.hex() for span in self.spans(service) for link in span.links}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Runs a collector until the end of the `with`."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            compressed = self.headers.get("Content-Encoding") == "gzip"
            collector.bodies.append(gzip.decompress(body) if compressed else body)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()
