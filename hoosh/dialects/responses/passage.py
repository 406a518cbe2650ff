"""The way of a Responses client's own bytes to an upstream that has this API itself, and back.

`outgoing` writes the client's fields back with the upstream's model.  What an earlier answer of ours has left in the
input means nothing to a provider and would be refused: thoughts that we made or sealed are taken out (OpenAI's own
`encrypted_content` stays, whoever carried it), and signatures out of the ids of calls.

Source: wire notes 2.1, 2.7.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.contract import Outgoing, Stamp, WholeReply
from hoosh.dialects.costs import cost_fields, cost_of, tell_cost
from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import UNREADABLE, encode_safely, read_loosely
from hoosh.dialects.responses.tap import ResponsesTap, error_of
from hoosh.dialects.responses.whole import stream_of
from hoosh.dialects.responses.wire import MARK, RESPONSES_PATH, SEAL, TOKEN_COUNT_PATH, is_ours, read_usage
from hoosh.dialects.signatures import read_id
from hoosh.errors import UpstreamBroke
from hoosh.values import Call, CallKind, FinishReason

__all__ = ["ResponsesPassage"]

TRACES = (f'"{SEAL}'.encode(), MARK.encode(), b"__sig_")
"""Where none of these is in an input, nothing of ours is."""
FINISHES = {"max_output_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}

_encode = msgspec.json.encode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_item = msgspec.json.Decoder(dict[str, Raw]).decode


class Reply(Struct):
    """A whole answer, whatever the types of its fields."""

    output: Any = None
    status: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    input_tokens: Any = None
    """The whole answer to the question for them."""


class Traces(Struct):
    """Of an item, where ours may be."""

    type: str = ""
    id: str | None = None
    encrypted_content: str | None = None
    call_id: str | None = None


_decode_reply = msgspec.json.Decoder(Reply).decode
_decode_traces = msgspec.json.Decoder(Traces).decode


class ResponsesPassage:
    """A `Passage`."""

    __slots__ = ()

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        fields = dict(call.fields)
        fields["model"] = Raw(_encode(model))
        said = fields.get("input")
        if said is not None and any(trace in bytes(said) for trace in TRACES):
            fields["input"] = _without_ours(said)
        path = TOKEN_COUNT_PATH if call.kind is CallKind.TOKEN_COUNT else RESPONSES_PATH
        return Outgoing(path, _encode(fields))

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        try:
            reply = _decode_reply(body)
        except UNREADABLE as error:
            raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider) from error
        if call.kind is CallKind.TOKEN_COUNT and type(reply.input_tokens) is int:
            return WholeReply(body)
        if reply.error and (reply.status == "failed" or not isinstance(reply.output, list)):
            whole = reply.error if isinstance(reply.error, dict) else read_loosely(body)
            raise error_of(whole, provider=provider)
        if reply.status == "failed":
            raise error_in({}, provider=provider)
        if not isinstance(reply.output, list):
            raise UpstreamBroke("The upstream's answer has no output.", provider=provider)
        model = reply.model if isinstance(reply.model, str) and reply.model else None
        usage = read_usage(reply.usage)
        if (cost := cost_of(stamp, usage)) is not None:
            body = tell_cost(body, cost)
        return WholeReply(body, usage, model, _finish_reason(reply))

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> ResponsesTap:
        return ResponsesTap(call, stamp, provider=provider)

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        whole = self.read_reply(call, body, stamp, provider=provider)
        try:
            return replace(whole, body=stream_of(body, cost_fields(stamp, whole.usage)))
        except UNREADABLE as error:  # strings that are not UTF-8: `read_reply` skips most of them
            raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider) from error


def _finish_reason(reply: Reply) -> str | None:
    details = reply.incomplete_details
    if reply.status == "incomplete":
        why = details.get("reason") if isinstance(details, dict) else None
        return FINISHES.get(why if isinstance(why, str) else "", FinishReason.STOP).value
    if reply.status not in (None, "completed"):
        return None  # queued, in the background
    calls = any(isinstance(item, dict) and item.get("type") == "function_call" for item in reply.output)
    return (FinishReason.TOOL_CALLS if calls else FinishReason.STOP).value


def _without_ours(said: Raw) -> Raw:
    try:
        items = [_cleaned(bytes(item)) for item in _decode_items(said)]
    except UNREADABLE:
        return said  # a string, or not items: the provider will say so
    return Raw(b"[" + b",".join([item for item in items if item]) + b"]")


def _cleaned(item: bytes) -> bytes:
    """One item as the provider may see it; b"" where nothing is left."""
    if not any(trace in item for trace in TRACES):
        return item
    try:
        traces = _decode_traces(item)
    except UNREADABLE:
        return item
    if traces.type == "reasoning":
        sealed = traces.encrypted_content or ""
        if sealed.startswith(SEAL) or (is_ours(traces.id or "") and not sealed):
            return b""
        return _with(item, id=None) if is_ours(traces.id or "") else item
    if traces.call_id and (call_id := read_id(traces.call_id)[0]) != traces.call_id:
        return _with(item, call_id=call_id)
    return item


def _with(item: bytes, **changed: str | None) -> bytes:
    fields = _decode_item(item)
    for name, value in changed.items():
        if value is None:
            del fields[name]
        else:
            fields[name] = Raw(encode_safely(value))
    return _encode(fields)
