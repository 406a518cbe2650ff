"""The exporter of OpenTelemetry, as `export.py` uses it: blocking, for one worker thread.  Needs the extra `otel`.

It tries again by itself, within its timeout, what a collector may take later (OTLP specification, OTLP/HTTP: 429, 502,
503, 504, with Retry-After).  What it logs of that is not shown: the service says it once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import TraceState

from hoosh.observe.settings import Telemetry
from hoosh.observe.spans import Ended, SpanMaker
from hoosh.observe.traces import Answer, Trace
from hoosh.values import Record

__all__ = ["Otlp", "resource_of", "traces_url"]

TRACES_PATH = "/v1/traces"
USUAL_NAME = "hoosh"
LATER = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same may be sent again."""
PAUSE_MAX_S = 600.0
"""As long as a collector may ask to be left alone."""
_here = threading.local()


class Otlp:
    """Sends what has ended to a collector.  Raises ValueError for what the environment says wrong."""

    def __init__(self, settings: Telemetry, version: str, type_of: Callable[[str], str]) -> None:
        self._answer: requests.Response | None = None
        session = requests.Session()
        session.hooks["response"].append(self._note)
        self.settings = settings
        self._maker = SpanMaker(resource_of(settings, version), version, type_of)
        self._exporter = OTLPSpanExporter(
            endpoint=traces_url(settings.otlp_endpoint),
            headers={name: value.reveal() for name, value in settings.headers.items()},
            timeout=settings.timeout_s,
            session=session,
        )
        for talker in (OTLPSpanExporter, TraceState):  # what the latter says repeats a client's header
            logging.getLogger(talker.__module__).addFilter(_is_not_ours)

    def send(self, batch: Sequence[tuple[Record, Trace, float]]) -> Answer:
        """Waits for the collector, as long as its timeout at most."""
        self._answer = None
        _here.is_ours = True
        try:
            spans = [span for each in batch for span in self._maker.spans_of(Ended(*each))]
            is_there = self._exporter.export(spans) is SpanExportResult.SUCCESS
        finally:
            _here.is_ours = False
        answer = self._last()
        if is_there and (answer is None or answer.status_code < 300):  # to the exporter a redirect is a success
            return Answer(is_there=True)
        return told_by(answer)

    def close(self) -> None:
        """From any thread: a wait within `send` ends soon."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _note(self, response: requests.Response, *args: object, **more: object) -> None:
        self._answer = response

    def _last(self) -> requests.Response | None:
        return self._answer


def told_by(response: requests.Response | None) -> Answer:
    """What a collector has said that has not taken a batch."""
    if response is None:
        return Answer(why="the collector cannot be reached")
    status, retry_after = response.status_code, response.headers.get("retry-after", "")
    # Its other form, a date, is for nobody who backs off anyhow.
    seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else 0.0
    return Answer(
        why=f"the collector answered {status}", is_final=status not in LATER, retry_after_s=min(seconds, PAUSE_MAX_S)
    )


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not getattr(_here, "is_ours", False)


def traces_url(endpoint: str | None) -> str | None:
    """Where spans are posted; None leaves it to the environment."""
    if endpoint is None:
        return None
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + TRACES_PATH


def resource_of(settings: Telemetry, version: str) -> Resource:
    """Who sends: the settings, then the environment, then our own name."""
    said = {"service.version": version, **settings.resource}
    if settings.service_name is not None:
        said[SERVICE_NAME] = settings.service_name
    resource = Resource.create(said)
    name = str(resource.attributes.get(SERVICE_NAME, ""))
    if name.startswith("unknown_service") and "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        resource = resource.merge(Resource({SERVICE_NAME: USUAL_NAME}))
    return resource
