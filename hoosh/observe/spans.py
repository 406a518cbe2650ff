"""A request that has ended, as spans: one for itself, one for each of its attempts.

    Record, Trace ──spans_of──▶ SERVER "chat gpt-4o" ─┬─ CLIENT "chat gpt-4o" at openai   error.type=503
                                                      └─ CLIENT "chat gpt-4o" at azure

Attributes are numbers, names and words; nothing that was asked or answered is among them, and no key.  Needs the extra
`otel`: imported only where traces are switched on.

Source: OpenTelemetry semantic conventions for generative AI (spans) and HTTP, as in `genai.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from hoosh.observe.genai import error_type, operation_name, provider_name
from hoosh.observe.traces import Trace, Tried
from hoosh.values import CallKind, Outcome, Record

__all__ = ["Ended", "SpanMaker"]

NAME_CHARS = 256
"""Of a model: more of a client's words do not go on."""
NANO = 1_000_000_000
SPEAKING = frozenset({CallKind.CHAT.value, CallKind.COMPLETION.value, CallKind.EMBEDDING.value})

Value = str | int | float | bool


class Ended(Struct, frozen=True):
    """A request that has ended.  `ended_at` is Trio's clock, as the times in the trace."""

    record: Record
    trace: Trace
    ended_at: float


class SpanMaker:
    """Makes spans.  `type_of` says of which type a provider is."""

    def __init__(self, resource: Resource, version: str, type_of: Callable[[str], str]) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("hoosh", version)
        self._type_of = type_of

    def spans_of(self, ended: Ended) -> list[ReadableSpan]:
        record, trace = ended.record, ended.trace
        end_s = record.started_at + record.duration_s
        # Unix time minus Trio's, for this request: its spans keep their distances however the wall clock is set.
        offset_s = end_s - ended.ended_at
        own = _context(trace, trace.span_id, is_remote=False)
        parent = _context(trace, trace.parent_id, is_remote=True) if trace.parent_id else None
        name = f"{operation_name(record.kind or 'request')} {_cut(record.model or '')}".rstrip()
        error = error_type(record)
        request = ReadableSpan(
            name,
            context=own,
            parent=parent,
            resource=self._resource,
            attributes=self._of_request(record, error),
            events=_failovers(trace, offset_s, ended.ended_at),
            kind=SpanKind.SERVER,
            status=_status(error, is_ours=record.status >= 500 or record.outcome is Outcome.CUT),
            start_time=_nano(record.started_at),
            end_time=_nano(end_s),
            instrumentation_scope=self._scope,
        )
        return [request, *(self._attempt(ended, tried, own, offset_s) for tried in trace.attempts)]

    def _attempt(self, ended: Ended, tried: Tried, parent: SpanContext, offset_s: float) -> ReadableSpan:
        """One that nobody has ended was running until the request's end."""
        record, trace = ended.record, ended.trace
        over_at = ended.ended_at if tried.over_at is None else tried.over_at
        model = _cut(tried.model)
        attributes: dict[str, Value] = {**self._of_target(record, tried.provider), "gen_ai.request.model": model}
        if tried.status is not None:
            attributes["http.response.status_code"] = tried.status
        if tried.error:
            attributes["error.type"] = tried.error
        for key, is_so in (("hoosh.hedge", tried.is_hedge), ("hoosh.rescue", tried.is_rescue)):
            if is_so:
                attributes[key] = True
        if tried.over_at is not None and not tried.error:
            attributes.update(_usage(record))
        return ReadableSpan(
            f"{operation_name(record.kind or 'request')} {model}",
            context=_context(trace, tried.span_id, is_remote=False),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            status=_status(tried.error, is_ours=tried.error not in ("hedged", "cancelled")),
            start_time=_nano(tried.begun_at + offset_s),
            end_time=_nano(over_at + offset_s),
            instrumentation_scope=self._scope,
        )

    def _of_target(self, record: Record, provider: str) -> dict[str, Value]:
        return {
            "gen_ai.operation.name": operation_name(record.kind or "request"),
            "gen_ai.provider.name": provider_name(self._type_of(provider)) or provider,
            "hoosh.provider": provider,
        }

    def _of_request(self, record: Record, error: str) -> Mapping[str, Value]:
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": operation_name(record.kind or "request"),
            "http.request.method": record.method,
            "http.route": record.path,
            "http.response.status_code": record.status,
            "network.protocol.version": record.http_version,
            "hoosh.request_id": record.request_id,
            "hoosh.attempts": record.attempts,
            "hoosh.cache": record.cache,
            "hoosh.queue_s": round(record.queue_s, 6),
            "gen_ai.request.stream": record.stream,
        }
        if record.provider is not None:
            attributes.update(self._of_target(record, record.provider))
        optional: dict[str, Value | None] = {
            "gen_ai.request.model": None if record.model is None else _cut(record.model),
            "gen_ai.response.model": None if record.served_model is None else _cut(record.served_model),
            "gen_ai.response.time_to_first_chunk": record.first_token_s if record.stream else None,
            "hoosh.caller": record.caller,
            "hoosh.pool": record.pool,
            "hoosh.cost_micro_usd": record.cost_micro_usd,
            "hoosh.error_code": None if record.error_code is None else _cut(record.error_code),
            "hoosh.rescued": record.rescued or None,
            "error.type": error or None,
        }
        attributes.update({name: value for name, value in optional.items() if value is not None})
        attributes.update(_usage(record))
        return attributes


def _usage(record: Record) -> dict[str, Value]:
    usage = record.usage
    if usage is None or record.kind not in SPEAKING:
        return {}
    return {"gen_ai.usage.input_tokens": usage.prompt_tokens, "gen_ai.usage.output_tokens": usage.completion_tokens}


def _failovers(trace: Trace, offset_s: float, ended_at: float) -> list[Event]:
    """One for each attempt that did not answer and has another after it."""
    events = []
    for tried, after in zip(trace.attempts, trace.attempts[1:], strict=False):
        if not tried.error:
            continue
        at = ended_at if tried.over_at is None else tried.over_at
        is_same = (tried.provider, tried.model) == (after.provider, after.model)
        name = "hedge" if after.is_hedge else "rescue" if after.is_rescue else "retry" if is_same else "failover"
        words = {"hoosh.from": tried.provider, "hoosh.to": after.provider, "error.type": tried.error}
        events.append(Event(f"hoosh.{name}", words, _nano(at + offset_s)))
    return events


def _context(trace: Trace, span_id: int, *, is_remote: bool) -> SpanContext:
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(trace.trace_id, span_id, is_remote, TraceFlags(trace.flags), state)


def _status(error: str, *, is_ours: bool) -> Status:
    """A server's span is no error where the client was at fault (HTTP conventions)."""
    return Status(StatusCode.ERROR, error) if error and is_ours else Status()


def _nano(at_s: float) -> int:
    return int(at_s * NANO)


def _cut(text: str) -> str:
    """As it may be encoded, and not too long."""
    return text[:NAME_CHARS].encode("utf-8", "replace").decode()
