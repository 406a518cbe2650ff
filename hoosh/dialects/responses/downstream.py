"""OpenAI's Responses API as we serve it: `POST /v1/responses` over any upstream.

    read ──▶ previous_response_id of ours? ──▶ the kept input and output before the new input
    …    ──▶ encoder ends ──▶ kept for this caller, unless `store` is false

An id that is not ours stays in the call: the provider that made it may be asked.  A call is expanded while it is read,
so that every upstream gets the same conversation, also one that speaks this language itself.

Raises InvalidRequest in OpenAI's words.  Source: wire notes 2.1.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.bodies import (
    Fields,
    flag_of,
    kind_of,
    limit_of,
    raw_of,
    read_fields,
    string_of,
    take_models,
    take_name,
)
from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.costs import without_cost
from hoosh.dialects.loose_json import UNREADABLE, encode_safely
from hoosh.dialects.mistakes import missing, wrong_type
from hoosh.dialects.replies import unfold
from hoosh.dialects.responses.encoder import Keep, ResponseEncoder
from hoosh.dialects.responses.request import read_chat_request
from hoosh.dialects.responses.shell import ExpandedCall
from hoosh.dialects.responses.store import ResponseStore
from hoosh.dialects.responses.wire import MARK, error_json, is_ours, response_id
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind, ChatReply, ChatRequest, EmbeddingRequest, Embeddings, Usage

__all__ = ["ResponsesDownstream"]

STANDS_FOR_INPUT = ("previous_response_id", "conversation", "prompt")
"""With one of these a request may have no input of its own."""

_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_reference = msgspec.json.Decoder(dict[str, Raw]).decode


class ResponsesDownstream:
    """A `DownstreamDialect`.  `for_caller` gives the one for one request of a caller: that one keeps and finds
    responses, and knows the stream that it is telling when an error has to end it."""

    __slots__ = ("_caller", "_store", "_telling")

    name = "responses"
    stream_type = b"text/event-stream; charset=utf-8"
    terminator = b""
    id_headers: tuple[bytes, ...] = ()

    def __init__(self, store: ResponseStore | None = None, *, caller: str | None = None) -> None:
        self._store = store
        self._caller = caller
        self._telling: ResponseEncoder | None = None

    def for_caller(self, caller: str) -> ResponsesDownstream:
        return ResponsesDownstream(self._store, caller=caller)

    # -- requests ------------------------------------------------------------------------------------------------

    def read(self, kind: CallKind, body: bytes) -> Call:
        """A chat, or (`POST /v1/responses/input_tokens`) the question how long its prompt is: the same body."""
        if kind not in (CallKind.CHAT, CallKind.TOKEN_COUNT):
            raise InvalidRequest("The Responses API has no such operation.")
        fields = read_fields(body)
        model, others = take_models(fields)
        _require_input(fields)
        return ExpandedCall(
            kind,
            model,
            fields,
            stream=flag_of(fields, "stream"),
            max_tokens=limit_of(fields, "max_output_tokens", 1),
            provider=take_name(fields, "provider"),
            pool=take_name(fields, "pool"),
            models=others,
            language="responses",
            previous=self._expand(fields),
        )

    def _expand(self, fields: Fields) -> str | None:
        """Put what is kept of ours into the input; gives the id of the response it goes on from."""
        self._resolve(fields)
        raw = raw_of(fields, "previous_response_id")
        previous = None if raw is None else string_of(raw, "previous_response_id")
        if previous is None or not is_ours(previous):
            return None
        kept = None if self._store is None else self._store.get(self._caller or "", previous)
        if kept is None:
            message = f"Previous response with id '{previous[:100]}' not found."
            raise InvalidRequest(message, param="previous_response_id", code="previous_response_not_found")
        del fields["previous_response_id"]
        lists = (kept.input, kept.output, _as_list(fields.get("input")))
        fields["input"] = Raw(b"[" + b",".join([inner for said in lists if (inner := said[1:-1].strip())]) + b"]")
        return previous

    def _resolve(self, fields: Fields) -> None:
        """References to items of ours become the items.  Others stay: a provider may know them."""
        raw = fields.get("input")
        if self._store is None or raw is None or MARK.encode() not in bytes(raw) or bytes(raw)[:1] != b"[":
            return
        try:
            items = [bytes(item) for item in _decode_items(raw)]
            found = [self._resolved(item) for item in items]
        except UNREADABLE:
            return  # whoever reads the input will say what is wrong with it
        if found != items:
            fields["input"] = Raw(b"[" + b",".join(found) + b"]")

    def _resolved(self, raw: bytes) -> bytes:
        if len(raw) > 1000 or raw[:1] != b"{":
            return raw
        fields = _decode_reference(raw)
        kind, identity = raw_of(fields, "type"), raw_of(fields, "id")
        if (
            identity is None
            or identity[:1] != b'"'
            or (kind != b'"item_reference"' and (kind is not None or "role" in fields))
        ):
            return raw
        assert self._store is not None
        return self._store.item(self._caller or "", string_of(identity, "input")) or raw

    def limit_tokens(self, call: Call, limit: int) -> Call:
        if call.max_tokens is not None and call.max_tokens <= limit:
            return call
        return replace(call, max_tokens=limit, fields={**call.fields, "max_output_tokens": Raw(b"%d" % limit)})

    def immediate(self, call: Call) -> None:
        return None

    def chat_request(self, call: Call) -> ChatRequest:
        return read_chat_request(call)

    def embedding_request(self, call: Call) -> EmbeddingRequest:
        raise InvalidRequest("The Responses API has no embeddings.", code="unsupported_operation")

    # -- answers -------------------------------------------------------------------------------------------------

    def encode_reply(self, call: Call, reply: ChatReply, stamp: Stamp) -> bytes:
        encoder = ResponseEncoder(call, stamp, keep=self._keeper(call))
        encoder.encode(tuple(unfold(reply)))
        encoder.finish()
        return encoder.body

    def chat_encoder(self, call: Call, stamp: Stamp) -> ResponseEncoder:
        encoder = ResponseEncoder(call, stamp, keep=self._keeper(call))
        if self._caller is not None:
            self._telling = encoder
        return encoder

    def _keeper(self, call: Call) -> Keep | None:
        store, caller, wanted = self._store, self._caller, call.fields.get("store")
        if store is None or caller is None or (wanted is not None and bytes(wanted) == b"false"):
            return None

        def keep(identity: str, body: bytes, output: bytes) -> None:
            store.put(caller, identity, body=body, input=_as_list(call.fields.get("input")), output=output)

        return keep

    def encode_embeddings(self, call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes:
        raise NotImplementedError("The Responses API has no embeddings.")

    def encode_token_count(self, tokens: int) -> bytes:
        return encode_safely({"object": "response.input_tokens", "input_tokens": tokens})

    def add_usage(self, call: Call, body: bytes, usage: Usage, cost_micro_usd: int | None) -> bytes:
        return body

    def without_cost(self, body: bytes) -> bytes:
        return without_cost(body, nested=True)

    def keep_alive(self, call: Call) -> bytes:
        return b": keep-alive\n\n"

    # -- errors --------------------------------------------------------------------------------------------------

    def error_status(self, facts: ErrorFacts) -> int:
        return facts.status

    def error_body(self, facts: ErrorFacts) -> bytes:
        return encode_safely({"error": error_json(facts)})

    def error_event(self, facts: ErrorFacts) -> bytes:
        """Twice, as OpenAI does: `error`, which SDKs raise (at the key `error`; the flat keys are the documented
        ones), and `response.failed`, which clients read who wait for the end of the response."""
        said = error_json(facts)
        telling = self._telling
        first = 0 if telling is None else telling.sequence
        flat = {"code": facts.code, "message": facts.message, "param": facts.param}
        error = encode_safely({"type": "error", "sequence_number": first, **flat, "error": said})
        short = {"code": facts.code or "server_error", "message": facts.message}
        response = _unknown_response(facts, short) if telling is None else telling.failed(short)
        failed = encode_safely({"type": "response.failed", "sequence_number": first + 1, "response": response})
        return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (error, failed)


def _unknown_response(facts: ErrorFacts, error: dict[str, str]) -> dict[str, object]:
    """Of a stream whose response is another's: what can be said of it here."""
    identity = response_id(facts.request_id)
    return {"id": identity, "object": "response", "status": "failed", "error": error, "output": [], "usage": None}


def _require_input(fields: Fields) -> None:
    raw = raw_of(fields, "input")
    if raw is None:
        if all(raw_of(fields, name) is None for name in STANDS_FOR_INPUT):
            raise missing("input")
    elif raw[:1] not in (b'"', b"["):
        raise wrong_type("input", "a string or an array", kind_of(raw))


def _as_list(raw: Raw | None) -> bytes:
    """An input as a list of items."""
    said = b"null" if raw is None else bytes(raw).strip()
    if said[:1] == b"[":
        return said
    return b'[{"type":"message","role":"user","content":%b}]' % said if said[:1] == b'"' else b"[]"
