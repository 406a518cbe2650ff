"""How one call travels to an upstream: in its own words where the upstream speaks them, else translated.

The request in our own words is made once, and only for an upstream that needs it; so are the pictures it names, which
some upstreams do not fetch themselves.

    same language     the client's fields, and those of its headers that belong to the language
    another           ChatRequest → Translation, and none of the client's headers but the tracing ones
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

from msgspec.structs import replace

from hoosh.dialects.contract import DownstreamDialect, Outgoing, Passage
from hoosh.dialects.translation import Translation
from hoosh.errors import UpstreamError
from hoosh.gateway.account import Account
from hoosh.gateway.attempt import TRACING
from hoosh.gateway.capabilities import FactBook
from hoosh.gateway.fleet import Upstream
from hoosh.gateway.rescue import Rescue
from hoosh.http.message import Header
from hoosh.values import ANONYMOUS, Call, CallKind, Capability, ChatRequest, Target

__all__ = ["FetchMedia", "Way", "relayed_headers"]


class FetchMedia(Protocol):
    """Replaces the URLs of a request by what is there.  `asker` is whose request it is.  Raises InvalidRequest."""

    def __call__(self, request: ChatRequest, *, asker: str) -> Awaitable[ChatRequest]: ...


NONE: frozenset[bytes] = frozenset()
OF_A_LANGUAGE: Mapping[str, frozenset[bytes]] = {
    "openai": frozenset({b"openai-beta"}),
    "responses": frozenset({b"openai-beta"}),
    "anthropic": frozenset({b"anthropic-version", b"anthropic-beta"}),
}
"""Client headers that go on to an upstream which is spoken to in the client's own language.  Nothing else does."""


GENERATING = frozenset({CallKind.CHAT, CallKind.COMPLETION})
NO_SUCH_PATH = frozenset({404, 405, 501})


class Way:
    """The ways of one request, which may try several upstreams."""

    __slots__ = ("_account", "_call", "_downstream", "_facts", "_fetch", "_fetched", "_request", "rescue")

    def __init__(self, call: Call, account: Account, facts: FactBook, fetch: FetchMedia) -> None:
        self._call = call
        self._account = account
        self._downstream: DownstreamDialect = account.downstream
        self._facts = facts
        self._fetch = fetch
        self._request: ChatRequest | None = None
        self._fetched: ChatRequest | None = None
        self.rescue: Rescue | None = None
        """From here on a broken stream is to be gone on with."""

    async def to(self, upstream: Upstream, model: str) -> tuple[Passage, Outgoing]:
        """Raises InvalidRequest for what cannot be asked there.  Waits only for pictures."""
        call, dialect = self._call, upstream.dialect
        if upstream.max_tokens_limit is not None and call.kind in GENERATING:
            call = self._downstream.limit_tokens(call, upstream.max_tokens_limit)
        if self.rescue is not None:
            return await self._onward(self.rescue, call, upstream, model)
        passage = None if call.language in upstream.lacks else dialect.passage(call)
        if passage is not None:
            return passage, self._with_headers(
                passage.outgoing(call, model=model), OF_A_LANGUAGE.get(call.language, NONE)
            )
        request = None
        if call.kind is not CallKind.EMBEDDING:
            request = await self._in_our_words(call, fetched=not dialect.fetches_media)
            request = self._without_what_it_lacks(request, Target(upstream.name, model))
        translation = Translation(self._downstream, dialect, request=request)
        return translation, self._with_headers(translation.outgoing(call, model=model), NONE)

    async def _onward(self, rescue: Rescue, call: Call, upstream: Upstream, model: str) -> tuple[Passage, Outgoing]:
        target, dialect = Target(upstream.name, model), upstream.dialect
        facts = self._facts.of(self._call.model, target)
        request = await self._in_our_words(call, fetched=not dialect.fetches_media)
        request = self._without_what_it_lacks(request, target)
        onward = rescue.passage(
            dialect, f"{target.provider}/{model}", prefill=Capability.PREFILL in facts.can, request=request
        )
        names = OF_A_LANGUAGE.get(call.language, NONE) if call.language == dialect.name else NONE
        return onward, self._with_headers(onward.outgoing(call, model=model), names)

    def has_another(self, upstream: Upstream, passage: Passage, error: UpstreamError) -> bool:
        """An OpenAI-compatible upstream without the Responses API: that is remembered, and the call translated.

        Where the translation is not found either, it was the model that is missing, and nothing is known of the API:
        not every upstream gives a code that would tell the one 404 from the other.
        """
        call = self._call
        if self.rescue is not None:
            return self.rescue.has_another(passage, error)
        says_no_such_path = error.status in NO_SUCH_PATH and error.code in (None, "unknown_url") and error.param is None
        is_responses = call.language == "responses" and call.kind is CallKind.CHAT
        if not (is_responses and says_no_such_path):
            return False
        if isinstance(passage, Translation):
            if self._account.attempts > 1:
                upstream.lacks.discard(call.language)
            return False
        upstream.lacks.add(call.language)
        return True

    def _without_what_it_lacks(self, request: ChatRequest, target: Target) -> ChatRequest:
        """Wishes that would only be refused.  A request that cannot do without reasoning has not come so far; Claude
        Code says to every model how hard it may think."""
        if request.reasoning is None or Capability.REASONING not in self._facts.of(self._call.model, target).cannot:
            return request
        return replace(request, reasoning=None)

    async def _in_our_words(self, call: Call, *, fetched: bool) -> ChatRequest:
        if call is not self._call:  # limited for this upstream alone
            request = self._downstream.chat_request(call)
            return await self._with_media(request) if fetched else request
        if self._request is None:
            self._request = self._downstream.chat_request(call)
        if not fetched:
            return self._request
        if self._fetched is None:
            self._fetched = await self._with_media(self._request)
        return self._fetched

    async def _with_media(self, request: ChatRequest) -> ChatRequest:
        account = self._account
        caller = account.caller or ANONYMOUS
        # Without keys all callers are one, and only where they come from tells them apart.
        asker = f"from {account.exchange.peer}" if caller == ANONYMOUS else caller.name
        return await self._fetch(request, asker=asker)

    def _with_headers(self, outgoing: Outgoing, of_the_language: frozenset[bytes]) -> Outgoing:
        headers = relayed_headers(self._account, of_the_language)
        if outgoing.headers:  # of the dialect itself: they stand in for those that the client has not sent
            said = {name for name, _ in headers}
            headers += [header for header in outgoing.headers if header[0] not in said]
        return replace(outgoing, headers=headers)


def relayed_headers(account: Account, of_the_language: frozenset[bytes] = NONE) -> list[Header]:
    """The headers of a request to an upstream, besides the upstream's own."""
    headers: list[Header] = [(b"x-request-id", account.request_id.encode())]
    for header in account.exchange.headers.raw:
        if header[0] in TRACING or header[0] in of_the_language:
            headers.append(header)  # noqa: PERF401  # a comprehension is a call, on every request's way
    return headers
