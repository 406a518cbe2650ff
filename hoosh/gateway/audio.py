"""The path of a sound request: `transcribe` (speech to text, also into English) and `speak` (text to speech).

    who is asking → what is asked → who may answer → one open reply → the relay          as in `chat.py`

A recording is received as it comes and lies in an upload until the request is over (`hearing.py`); each attempt sends
all of it.  An upstream in the house, whose dialect `takes_files`, is given an `InHouse` instead of a form.

A transcript is one body, or events that the relay of chats passes on.  Speech goes through piece by piece as it is
made; one that is cut ends as a broken response, with no word of the error in it: nobody's player would read that.

An upstream may have to be asked in more than one way (`AudioDialect`): the next is tried after a 404 or 405.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from msgspec.structs import replace

from hoosh.access import may_use
from hoosh.dialects.audio import (
    AudioDialect,
    AudioReply,
    TranscriptTap,
    read_speech,
    speech_type,
    told_as_stream,
)
from hoosh.dialects.contract import ErrorFacts, Outgoing, Stamp, StreamTap, WholeReply
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.errors import Forbidden, InvalidRequest, StorageError, UpstreamBroke, UpstreamError
from hoosh.gateway.account import Account
from hoosh.gateway.answer import answer_headers
from hoosh.gateway.attempt import Reply
from hoosh.gateway.chat import authenticate, check_media_type, find_candidates, in_turn
from hoosh.gateway.fleet import Upstream
from hoosh.gateway.hearing import expected_bytes, hear
from hoosh.gateway.journey import Relay
from hoosh.gateway.relay import REPLY_BYTES, StreamRelay
from hoosh.gateway.rescue import Rescue
from hoosh.gateway.sound_bill import SoundBill
from hoosh.gateway.way import relayed_headers
from hoosh.http.exchange import Exchange
from hoosh.storage.uploads import Upload
from hoosh.values import Call, FileRange, SpeechRequest, Target, TranscriptionRequest

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["speak", "transcribe"]

SOUND_BYTES_PER_SECOND = 6_000
"""Of speech in a form whose length is not known here: 48 kbit/s."""
MS_PER_TOKEN = 100
"""Of sound, as gpt-4o-transcribe counts it."""
SIGNS_PER_TOKEN = 4
NO_SUCH_PATH = frozenset({404, 405})
OPENAI_BETA = frozenset({b"openai-beta"})
MAGIC_BYTES = 12
"""Enough of a sound to know its kind."""


async def transcribe(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer `POST /v1/audio/transcriptions` or `…/translations`.  Raises HooshError."""
    caller = authenticate(gateway, exchange, account)
    content_type = exchange.headers.get(b"content-type") or b""
    if content_type.lower().startswith(b"multipart/"):
        _check_sender(exchange)
    max_bytes = gateway.snapshot.config.server.max_audio_bytes
    with gateway.uploads.begin(expected_bytes(exchange, max_bytes)) as upload:
        request = await hear(exchange, account, upload, max_bytes)
        may_use(caller, request.model)
        await _transcribe(gateway, exchange, account, _Recording(request, upload))


async def _transcribe(gateway: Gateway, exchange: Exchange, account: Account, recording: _Recording) -> None:
    request = recording.request
    call = account.call = Call(account.kind, request.model, {}, stream=request.stream)
    size = len(request.file.data)
    length_ms = account.sound_ms = request.length_ms or size * 1000 // SOUND_BYTES_PER_SECOND
    account.prompt_tokens = length_ms // MS_PER_TOKEN + 1
    candidates = await find_candidates(gateway, exchange, account, call)
    ways = _Ways(account, recording.encode, request)

    async def relay(reply: Reply) -> None:
        whole = await reply.response.read(REPLY_BYTES)
        media_type = _media_type(reply)
        told = ways.dialect.decode_transcription(request, media_type, whole, provider=reply.provider)
        await _answer(exchange, account, told)

    stream = StreamRelay(exchange, call, account, gateway.silence) if request.stream else None
    await in_turn(gateway, account, partial(_ask, gateway, account, call, candidates, stream or relay, ways))


async def speak(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer `POST /v1/audio/speech`.  Raises HooshError."""
    caller = authenticate(gateway, exchange, account)
    check_media_type(exchange, account.downstream)
    body = await exchange.body(gateway.snapshot.config.server.max_body_bytes)
    account.received(body)
    request = read_speech(body)
    call = account.call = Call(
        account.kind, request.model, {}, stream=request.events, provider=request.provider, pool=request.pool
    )
    account.characters = len(request.input)
    account.prompt_tokens = account.characters // SIGNS_PER_TOKEN + 1
    may_use(caller, call.model)
    candidates = await find_candidates(gateway, exchange, account, call)

    async def encode(dialect: AudioDialect, model: str) -> tuple[Outgoing, ...]:
        return dialect.encode_speech(request, model=model)

    ways = _Ways(account, encode)

    async def relay(reply: Reply) -> None:
        media_type = _media_type(reply)
        if ways.dialect.wraps_speech(request, media_type):
            whole = await reply.response.read(REPLY_BYTES)
            told = ways.dialect.decode_speech(request, media_type, whole, provider=reply.provider)
            await _answer(exchange, account, told)
        else:
            await _relay_sound(exchange, reply, request, account)

    await in_turn(gateway, account, partial(_ask, gateway, account, call, candidates, relay, ways))


async def _ask(
    gateway: Gateway, account: Account, call: Call, candidates: Sequence[Target], relay: Relay, ways: _Ways
) -> None:
    journey = gateway.dispatcher.journey(account, call, gateway.ordered(call, candidates, account))
    with gateway.sound_bill(account, call, journey) as bill:
        await journey.run(relay, ways, bill)


# -- before ------------------------------------------------------------------------------------------------------


def _check_sender(exchange: Exchange) -> None:
    """A form without a key must not come from a browser.

    Browsers send forms to other sites without asking first: a page must not be able to spend the keys of a gateway on
    its reader's loopback.  A key in a header makes them ask.
    """
    headers = exchange.headers
    has_key = any(headers.get(name) for name in (b"authorization", b"x-api-key"))
    if not has_key and headers.is_from_page():
        raise Forbidden("A browser must send an API key with a form, or the sound itself as `audio/…`.")


class _Recording:
    """What is to be written down, and where it lies."""

    def __init__(self, request: TranscriptionRequest, upload: Upload) -> None:
        self.request = request
        self._upload = upload

    async def encode(self, dialect: AudioDialect, model: str) -> tuple[Outgoing, ...]:
        """Raises InvalidRequest; UpstreamError where the disk fails: others do without."""
        if dialect.takes_files and not isinstance(self.request.file.data, FileRange):
            try:
                data = await self._upload.on_disk()
            except StorageError as error:
                raise UpstreamError(str(error), provider=dialect.name, status=503, code=error.code) from error
            file = replace(self.request.file, data=data)
            parts = tuple(file if part.name == "file" else part for part in self.request.parts)
            self.request = replace(self.request, file=file, parts=parts)
        return dialect.encode_transcription(self.request, model=model)


class _Ways:
    """The ways of one request to an upstream: `turn` says which."""

    def __init__(
        self,
        account: Account,
        encode: Callable[[AudioDialect, str], Awaitable[tuple[Outgoing, ...]]],
        request: TranscriptionRequest | None = None,
    ) -> None:
        self.dialect: AudioDialect
        """Of the upstream asked last."""
        self.rescue: Rescue | None = None
        """Sound that has broken off cannot be gone on with."""
        self._account = account
        self._encode = encode
        self._request = request
        self._asked: tuple[Upstream, str] | None = None
        """The upstream and the model that `_ways` are for."""
        self._turn = 0
        self._ways: tuple[Outgoing, ...] = ()

    async def to(self, upstream: Upstream, model: str) -> tuple[Any, Outgoing]:
        if self._asked != (upstream, model):
            self.dialect = _dialect_of(upstream)
            self._ways, self._turn = await self._encode(self.dialect, model), 0
            self._asked = upstream, model
        way = self._ways[self._turn]
        relayed = relayed_headers(self._account, OPENAI_BETA)
        passage = None if self._request is None else _TranscriptPassage(self.dialect, self._request)
        return passage, replace(way, headers=[*relayed, *way.headers])

    def has_another(self, upstream: Upstream, passage: object, error: UpstreamError) -> bool:
        """An upstream that does not know the path may know another; it is tried next."""
        if error.status not in NO_SUCH_PATH or self._turn + 1 == len(self._ways):
            return False
        self._turn += 1
        return True


def _dialect_of(upstream: Upstream) -> AudioDialect:
    if upstream.audio is None:
        message = f"Provider `{upstream.name}` can neither listen nor speak."
        raise InvalidRequest(message, param="model", code="unsupported_operation")
    return upstream.audio


# -- after -------------------------------------------------------------------------------------------------------


class _TranscriptPassage:
    """A `Passage`, as far as the relay of a stream needs one."""

    def __init__(self, dialect: AudioDialect, request: TranscriptionRequest) -> None:
        self._dialect = dialect
        self._request = request

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> StreamTap:
        return TranscriptTap(provider=provider)

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        told = self._dialect.decode_transcription(self._request, "application/json", body, provider=provider)
        return WholeReply(told_as_stream(told.body, provider=provider), told.usage)


async def _answer(exchange: Exchange, account: Account, told: AudioReply) -> None:
    bill = account.bill
    if told.usage is None:
        account.usage, account.is_estimated = bill.guess(len(told.body)), True
    else:
        account.usage = bill.counted(told.usage, len(told.body)) if isinstance(bill, SoundBill) else told.usage
    account.first_token_at, account.has_told = trio.current_time(), True
    account.sending(told.body)
    headers = answer_headers(account)
    headers.append((b"content-type", told.media_type.encode("latin-1", "replace")))
    await account.bill.keep()
    await exchange.respond(200, headers, told.body)
    account.answered(200)


async def _relay_sound(exchange: Exchange, reply: Reply, request: SpeechRequest, account: Account) -> None:
    """Pass on sound as it comes.  Raises UpstreamBroke where it is none, before anything has gone out."""
    response = reply.response
    piece = await response.receive()
    while piece and len(piece) < MAGIC_BYTES and not response.ended and (more := await response.receive()):
        piece += more
    media_type = speech_type(request.response_format, _media_type(reply), piece)
    if media_type is None:
        raise UpstreamBroke(f"Provider `{reply.provider}` gave an answer without sound.", provider=reply.provider)
    headers = answer_headers(account)
    headers.append((b"content-type", media_type.encode("latin-1", "replace")))
    account.first_token_at, account.has_told = trio.current_time(), True
    await exchange.start(200, headers)
    if not media_type.startswith("text/event-stream"):
        account.downstream = _SoundDownstream()
    while piece:
        account.sending(piece)
        await exchange.send(piece)
        piece = await response.receive()
    await account.bill.keep()
    await exchange.end()
    account.answered(200)


class _SoundDownstream(OpenAIDownstream):
    """Once sound has begun there is no place for words."""

    def error_event(self, facts: ErrorFacts) -> bytes:
        return b""


def _media_type(reply: Reply) -> str:
    return reply.response.headers.text(b"content-type") or ""
