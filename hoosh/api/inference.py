"""The hot door: every request of our own listener comes here first, and inference requests go no further.

    a POST to one of HOT_PATHS ──▶ its handler in the gateway, in the language of that path
    everything else            ──▶ the Quart-Trio app, through `AsgiHost`

It is also the one place where a request's errors become an answer.  Each request ends here with exactly one Record.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping

import trio
from msgspec import Struct

from hoosh.api.errors import error_event, error_response, log_words, status_of, unwrap
from hoosh.errors import HooshError
from hoosh.gateway.account import Account
from hoosh.gateway.answer import attempts_header_of
from hoosh.gateway.audio import speak, transcribe
from hoosh.gateway.chat import infer
from hoosh.gateway.count import count_tokens
from hoosh.gateway.deadline import in_time
from hoosh.gateway.gateway import Gateway
from hoosh.http.exchange import Exchange, Handler
from hoosh.values import CallKind

__all__ = ["HOT_PATHS", "HotRoute", "InferenceDoor"]

Answering = Callable[[Gateway, Exchange, Account], Awaitable[None]]


class HotRoute(Struct, frozen=True):
    """What is asked for at a path, in which language, and who answers."""

    kind: CallKind
    language: str
    answer: Answering = infer


HOT_PATHS: dict[str, HotRoute] = {
    "/v1/chat/completions": HotRoute(CallKind.CHAT, "openai"),
    "/v1/completions": HotRoute(CallKind.COMPLETION, "openai"),
    "/v1/embeddings": HotRoute(CallKind.EMBEDDING, "openai"),
    "/v1/audio/transcriptions": HotRoute(CallKind.TRANSCRIPTION, "openai", transcribe),
    "/v1/audio/translations": HotRoute(CallKind.TRANSLATION, "openai", transcribe),
    "/v1/audio/speech": HotRoute(CallKind.SPEECH, "openai", speak),
    "/v1/transcribe": HotRoute(CallKind.TRANSCRIPTION, "openai", transcribe),
    "/v1/responses": HotRoute(CallKind.CHAT, "responses"),
    "/v1/responses/input_tokens": HotRoute(CallKind.TOKEN_COUNT, "responses", count_tokens),
    "/v1/messages": HotRoute(CallKind.CHAT, "anthropic"),
    "/v1/messages/count_tokens": HotRoute(CallKind.TOKEN_COUNT, "anthropic", count_tokens),
    "/api/chat": HotRoute(CallKind.CHAT, "ollama"),
    "/api/generate": HotRoute(CallKind.COMPLETION, "ollama"),
    "/api/embed": HotRoute(CallKind.EMBEDDING, "ollama"),
    "/api/embeddings": HotRoute(CallKind.EMBEDDING, "ollama"),
}
LAST_WORDS_S = 5.0
"""For an error to reach a client that may have stopped reading."""


class InferenceDoor:
    """Answers inference requests; hands others to `cold`, where there is one."""

    def __init__(self, gateway: Gateway, *, on_crash: Callable[[BaseException], None]) -> None:
        self.cold: Handler | None = None
        """Answers what is not inference; without one, nothing else is known here."""
        self._gateway = gateway
        self._on_crash = on_crash

    @property
    def hot(self) -> Mapping[tuple[str, str], Handler]:
        """The hot routes, for an app that somebody else's server carries."""
        return {("POST", path): self for path in HOT_PATHS}

    async def __call__(self, exchange: Exchange) -> None:
        route = HOT_PATHS.get(exchange.path)
        if route is None or exchange.method != "POST":
            assert self.cold is not None, "only hot routes come here without an app"
            await self.cold(exchange)
            return
        account = Account(exchange, route.kind, self._gateway.downstream(route.language))
        try:
            self._gateway.admit(account)
            if account.deadline_at == math.inf:
                await route.answer(self._gateway, exchange, account)
            else:
                await in_time(account, route.answer(self._gateway, exchange, account))
        except Exception as error:
            cause = unwrap(error)
            if not isinstance(cause, HooshError):  # a bug, alone or out of a nursery
                self._on_crash(error)
            await self._fail(exchange, account, cause)
        finally:
            self._gateway.dismiss(account)

    async def _fail(self, exchange: Exchange, account: Account, error: BaseException) -> None:
        """Tell the client: with a status while that is possible, in the stream when it is not."""
        account.failed(status_of(error), *log_words(error), cut=exchange.started)
        with trio.move_on_after(LAST_WORDS_S):
            if exchange.started:
                await exchange.end(error_event(error, account.request_id, account.downstream), broken=True)
            else:
                status, headers, body = error_response(error, account.request_id, account.downstream)
                if account.wishes.wants_attempts:
                    headers.append(attempts_header_of(account))
                await exchange.respond(status, [*headers, *account.rate_headers], body)
