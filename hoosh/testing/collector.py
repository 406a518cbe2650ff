"""A collector on loopback: it takes OTLP over HTTP, decodes it, and answers as it is told to.

    with collector((503, {"retry-after": "0"})) as there:        # then 200 for ever
        ... there.url, there.spans()

For tests only: needs the extra `otel`, which `dev` brings.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Collector", "attributes", "collector"]

Reply = tuple[int, dict[str, str]]


class Collector:
    """`replies` are given in their order, then 200 for ever; each waits until `go_on` is set."""

    def __init__(self, replies: Sequence[Reply] = ()) -> None:
        self.replies = list(replies)
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.url = ""

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for of in request.resource_spans
            for each in of.scope_spans
            for span in each.spans
        ]

    def resource(self) -> dict[str, Any]:
        return attributes(self.requests[-1].resource_spans[0].resource.attributes)


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collector(*replies: Reply) -> Iterator[Collector]:
    here = Collector(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            here.paths.append(self.path)
            here.headers.append({name.lower(): value for name, value in self.headers.items()})
            here.go_on.wait(10)
            status, headers = here.replies.pop(0) if here.replies else (200, {})
            if status == 200:
                here.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield here
    finally:
        here.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
