"""What a dialect is: functions from bytes to values and back.  Pure: no socket, no clock, no `await`.

Two roles.  *Downstream* we serve a dialect to clients; *upstream* we call it.

    client's body ──Downstream.read──▶ Call ──┬── same language ──▶ Passage: the client's own bytes, tapped in passing
                                              └── another ───────▶ Translation: values in between (translation.py)

    Translation:  Downstream.chat_request(call) ──▶ ChatRequest ──▶ Upstream.encode_chat ──▶ bytes
                  bytes ──▶ Upstream.chat_decoder() ──▶ ReplyEvents ──▶ Downstream.chat_encoder() ──▶ bytes

A `Translation` is a `Passage` too, so nobody above these two needs to know which of them carries a request.

What is refused: `chat_request` raises InvalidRequest for what the client wrote wrongly, `encode_chat` for what this
upstream cannot do at all (`param` names the field in OpenAI's words).  What is left out in silence is listed in
docs/dialects.md, and changes nothing about the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from hoosh.errors import UpstreamError
from hoosh.values import (
    Call,
    CallKind,
    Capability,
    ChatReply,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    ModelCard,
    ModelFacts,
    ModelSize,
    Pieces,
    ReplyEvent,
    Usage,
)

__all__ = [
    "DownstreamDialect",
    "Ending",
    "ErrorFacts",
    "HeaderList",
    "Outgoing",
    "Passage",
    "Stamp",
    "StreamDecoder",
    "StreamEncoder",
    "StreamTap",
    "UpstreamDialect",
    "WholeReply",
]

HeaderList = Sequence[tuple[bytes, bytes]]
"""Header names are lower-case bytes."""


# -- what passes between dialect and gateway ---------------------------------------------------------------------


class Outgoing(Struct, frozen=True, gc=False):
    """A request to an upstream: `path` below its base URL, beginning with the version (`/v1/…`) where there is one."""

    path: str
    body: bytes | Pieces = b""
    method: str = "POST"
    headers: HeaderList = ()
    """Of this request alone; authentication is not among them."""


class WholeReply(Struct, frozen=True, gc=False):
    """A whole reply, ready for the client, and what is counted of it.  `usage` is None where the upstream gave none."""

    body: bytes
    usage: Usage | None = None
    model: str | None = None
    finish_reason: str | None = None


class Stamp(Struct, frozen=True, gc=False):
    """What an answer says of itself besides its content; made by the gateway, which has a clock."""

    reply_id: str
    """Unique, without a dialect's prefix: `chatcmpl-`, `msg_`, `resp_` are put before it."""
    model: str
    """As the upstream was asked; an encoder prefers what the reply says."""
    created_s: int
    """Unix time."""
    cost_of: Callable[[Usage], int | None] | None = None
    """Micro-USD of a reply with this usage, None where no price is known.  OpenAI's, Responses' and Anthropic's answers
    then say `usage.cost_usd`, which those of OpenAI and Anthropic do not know, and their clients leave alone."""


class ErrorFacts(Struct, frozen=True):
    """An error as `api/errors.py` has weighed it: a downstream dialect only shapes it."""

    status: int
    message: str
    kind: str
    """OpenAI's `type`: `invalid_request_error`, `requests`, `tokens`, `server_error`, or the upstream's own."""
    param: str | None = None
    code: str | None = None
    request_id: str = ""


class Ending(StrEnum):
    """How a stream ended, as its tap or decoder saw it."""

    COMPLETE = "complete"
    """The terminator came, or the upstream closed after a finish reason for every choice."""
    CUT = "cut"
    """The bytes stopped before the reply was whole."""
    FAILED = "failed"
    """The upstream put an error into the stream: see `error`."""


# -- streams -----------------------------------------------------------------------------------------------------


class StreamTap(Protocol):
    """Sits between an upstream's stream and the client.

    `feed` takes what one receive brought and gives back what may go on to the client: whole events only, without
    those that only we asked for (usage) and without an in-band error or the terminator (the relay writes its own).
    Raises ProtocolViolation when one event passes the size limit.
    """

    @property
    def usage(self) -> Usage | None: ...

    @property
    def chunks(self) -> int:
        """Pieces of the answer passed on so far: events from the first one with content on."""
        ...

    @property
    def has_content(self) -> bool:
        """Something of the answer itself (text, reasoning, a tool call) has gone by."""
        ...

    @property
    def terminated(self) -> bool:
        """The dialect's own terminator has been seen: no more bytes are needed."""
        ...

    @property
    def has_finished(self) -> bool:
        """All has been said, so that `close` would say COMPLETE now; usage or the terminator may still come.

        Asked in silence alone: a stream that stays silent then is ended.  So it is False also where nobody can tell
        (half an event is here, a choice that was asked for is not; who names the finish reason with its first word may
        do so with each), though `close` would believe an upstream that has closed.
        """
        ...

    @property
    def error(self) -> UpstreamError | None: ...

    def feed(self, data: bytes) -> bytes: ...

    def close(self) -> tuple[bytes, Ending]:
        """The upstream's body is over: what is left to pass on, and the verdict.  Call once."""
        ...

    def finish_early(self, usage: Usage) -> bytes | None:
        """What completes the client's stream here and now, as if a limit of tokens had been reached: finish reason
        `length`, `usage` where the client is to be told, open blocks closed, without the dialect's `terminator`.

        For a budget that has run dry.  None where it cannot be completed: then the client is told an error.  Called
        once at most, instead of `close`; nothing else is called after it.
        """
        ...


class StreamDecoder(Protocol):
    """An upstream's stream as events, wherever its bytes are cut, with LF or CRLF.

    Never raises but ProtocolViolation (one event passes the size limit).  An event that cannot be understood as
    this dialect's is an `error` (UpstreamBroke): a translated answer with a hole in it must not look whole.
    After `terminated` or `error` further bytes are ignored.
    """

    @property
    def usage(self) -> Usage | None: ...

    @property
    def has_content(self) -> bool: ...

    @property
    def terminated(self) -> bool: ...

    @property
    def has_finished(self) -> bool:
        """As a tap's."""
        ...

    @property
    def error(self) -> UpstreamError | None: ...

    def feed(self, data: bytes) -> list[ReplyEvent]: ...

    def close(self) -> tuple[list[ReplyEvent], Ending]:
        """The body is over.  Whatever the stream was, `Finished` has been given once when this says COMPLETE."""
        ...


class StreamEncoder(Protocol):
    """Events as a client's stream.  `encode` may hold back; `finish` writes what belongs to a complete end.

    `Finished` and usage are only noted by `encode` (usage may come after the finish reason): `finish` tells them.
    Deltas of several tool calls may be interleaved by index.
    """

    @property
    def chunks(self) -> int:
        """Pieces of the answer written so far."""
        ...

    def encode(self, events: Sequence[ReplyEvent]) -> bytes: ...

    def finish(self) -> bytes:
        """The end of a complete stream, without the dialect's `terminator`.  Called once, or not at all."""
        ...


# -- one call at one upstream ------------------------------------------------------------------------------------


class Passage(Protocol):
    """How one call travels to one upstream and back."""

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        """Raises InvalidRequest for what cannot be asked of this upstream."""
        ...

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        """Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no reply."""
        ...

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> StreamTap: ...

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        """A whole reply told as the client's stream (in `body`, without the terminator): for an upstream that ignored
        `stream`.  Raises as `read_reply` does."""
        ...


# -- the two roles -----------------------------------------------------------------------------------------------


class UpstreamDialect(Protocol):
    """How an upstream is spoken to.  What a plugin implements; see `hoosh.testing.contracts.check_dialect`."""

    name: str
    """`openai`, `anthropic`, `gemini`, `ollama`, or a plugin's own."""
    capabilities: frozenset[Capability]
    """What this dialect can carry.  A model may be able to do less."""
    fetches_media: bool
    """It takes URLs of images itself.  False: the gateway must fetch them and hand over DataSources."""

    def passage(self, call: Call) -> Passage | None:
        """The way for a call in a language that this upstream speaks itself; None: it must be translated."""
        ...

    def auth(self, key: str) -> HeaderList: ...

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        """Raises InvalidRequest."""
        ...

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        """A whole reply.  Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no reply."""
        ...

    def chat_decoder(self, *, provider: str) -> StreamDecoder: ...

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        """Raises InvalidRequest; capability `embeddings` says whether it is any use to ask."""
        ...

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        """Raises UpstreamError, UpstreamBroke."""
        ...

    def encode_token_count(self, request: ChatRequest, *, model: str) -> Outgoing | None:
        """How to ask for the number of prompt tokens; None where this upstream has no such question."""
        ...

    def decode_token_count(self, body: bytes, *, provider: str) -> int:
        """Raises UpstreamError, UpstreamBroke."""
        ...

    def decode_error(self, status: int, retry_after: str | None, body: bytes, *, provider: str) -> UpstreamError:
        """An answer with `status` >= 400 as a typed error.  Never raises, whatever the body is."""
        ...

    def models_request(self) -> Outgoing | None:
        """How to ask for the model list; None where there is none."""
        ...

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        """What does not read as a list is an empty one."""
        ...

    def facts_request(self, card: ModelCard) -> Outgoing | None:
        """How to ask for the facts of one model that the list has not told; None where that cannot be asked."""
        ...

    def read_facts(self, body: bytes) -> ModelFacts:
        """What does not read as an answer tells nothing."""
        ...

    def memory_request(self) -> Outgoing | None:
        """How to ask an engine which models it has in memory now; None where that cannot be asked."""
        ...

    def read_memory(self, body: bytes) -> dict[str, ModelSize]:
        """By the names of its list.  Models that are not in memory may be left out, or told of without `is_loaded`.

        What does not read as an answer tells nothing.
        """
        ...


class DownstreamDialect(Protocol):
    """A language that clients speak to us."""

    name: str
    stream_type: bytes
    """The media type of a stream."""
    id_headers: tuple[bytes, ...]
    """The headers in which a client looks for the request's id, besides `x-request-id`."""
    terminator: bytes
    """Follows the last event of a complete stream, same-language or translated; b"" where there is none."""

    def for_caller(self, caller: str) -> DownstreamDialect:
        """This dialect for the requests of one caller, by name: itself, unless it keeps something for callers."""
        ...

    def read(self, kind: CallKind, body: bytes) -> Call:
        """A request body, leanly.  Raises InvalidRequest."""
        ...

    def limit_tokens(self, call: Call, limit: int) -> Call:
        """`call` asking for at most `limit` tokens of reply, also where it names no number."""
        ...

    def immediate(self, call: Call) -> bytes | None:
        """The answer to a call that asks no model anything (Ollama's request to load one); None for all others."""
        ...

    def chat_request(self, call: Call) -> ChatRequest:
        """The whole of a chat or completion call, in our own words.  Raises InvalidRequest."""
        ...

    def embedding_request(self, call: Call) -> EmbeddingRequest:
        """Raises InvalidRequest."""
        ...

    def encode_reply(self, call: Call, reply: ChatReply, stamp: Stamp) -> bytes: ...

    def chat_encoder(self, call: Call, stamp: Stamp) -> StreamEncoder: ...

    def encode_embeddings(self, call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes: ...

    def encode_token_count(self, tokens: int) -> bytes:
        """The answer to a call of kind TOKEN_COUNT."""
        ...

    def add_usage(self, call: Call, body: bytes, usage: Usage, cost_micro_usd: int | None) -> bytes:
        """A whole answer whose upstream has not counted, with the gateway's own count in it; as it is in a language
        (all but OpenAI's) whose clients are not told so."""
        ...

    def without_cost(self, body: bytes) -> bytes:
        """An answer of ours, whole or streamed, as it is served again from the cache: its `cost_usd` is 0."""
        ...

    def keep_alive(self, call: Call) -> bytes:
        """What a client ignores in a stream: sent while the upstream is silent, also as the very first bytes."""
        ...

    def error_status(self, facts: ErrorFacts) -> int:
        """The HTTP status in this dialect: `facts.status` nearly always (Anthropic says 529 for 503)."""
        ...

    def error_body(self, facts: ErrorFacts) -> bytes: ...

    def error_event(self, facts: ErrorFacts) -> bytes:
        """The error inside a stream that has begun, terminated as this dialect does."""
        ...
