"""A stream that broke off after part of it has gone out: asked for again, and gone on with.

    said ──text──▶ Rescue ──passage(B, prefill)──▶ outgoing   (a) the request and the text so far, to go on with
                                                              (b) the request as it was: B begins again
                                              └──▶ tap        a Splice, which gives the client only what it lacks

(a) is for models that take a trailing assistant message; one that refuses it with a 400 is asked in way (b), at the
same place, and the client never sees that refusal.  Only text of one choice is rescued: what a request asks for decides
first (`can_be_rescued`, before anything is kept), what was said decides later (`Said.text`).

Contract: ../shared/design/faults.md, S08, S09, S14.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.contract import DownstreamDialect, Outgoing, Passage, Stamp, StreamTap, UpstreamDialect, WholeReply
from hoosh.dialects.replies import unfold
from hoosh.dialects.splice import (
    NO_USAGE,
    AfterPrefill,
    AfterRestart,
    DoesNotFit,
    Joint,
    Seam,
    Splice,
    does_not_fit,
    prefill_of,
)
from hoosh.dialects.translation import Translation
from hoosh.dialects.verdicts import CONTEXT, POLICY
from hoosh.errors import UpstreamError
from hoosh.gateway.said import Said
from hoosh.values import Call, CallKind, ChatRequest, Message, Role, TextPart, Usage

__all__ = ["Onward", "Rescue", "can_be_rescued", "continued"]

BYTES_PER_TOKEN = 4
"""An estimate."""
REFUSALS = frozenset({400, 422})
SHORT_BYTES = 200
"""Of a field's value, beyond which it need not be looked at: tools and schemas are long."""

# -- which requests -----------------------------------------------------------------------------------------------

NOTHING = frozenset({b"null", b"false", b"[]", b"{}", b'""', b"0"})
"""Values of a field that ask for nothing."""
ONE = frozenset({b"null", b"1"})
TEXT = frozenset({b"null", b'{"type":"text"}'})
GRAMMARS = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "grammar")

Asking = Mapping[str, frozenset[bytes]]

ASKING: Mapping[str, Asking] = {
    "openai": {
        **dict.fromkeys(("tools", "functions", "logprobs", "top_logprobs", "audio", "plugins"), NOTHING),
        **dict.fromkeys((*GRAMMARS, "json_schema", "regex", "ebnf", "web_search_options"), NOTHING),
        "response_format": TEXT,
        "n": ONE,
        "modalities": frozenset({b"null", b'["text"]'}),
    },
    "responses": {
        **dict.fromkeys(("tools", "top_logprobs", "background", "conversation", "prompt"), NOTHING),
        "previous_response_id": NOTHING,  # of ours there is none left
        "include": NOTHING | {b'["reasoning.encrypted_content"]'},
        "text": NOTHING | {b'{"format":{"type":"text"}}'},
    },
    "anthropic": {
        **dict.fromkeys(("tools", "output_format", "mcp_servers", "container", "thread"), NOTHING),
        "output_config": NOTHING,
    },
    "ollama": dict.fromkeys(("tools", "format", "logprobs", "top_logprobs"), NOTHING),
}
"""Fields by which a request asks for more than one text, and their values by which it does not."""

_CHATTING = CallKind.CHAT
_NAMES = {language: frozenset(asking) for language, asking in ASKING.items()}
_NO_TOOLS = frozenset({b'"none"', b'{"type":"none"}'})


def can_be_rescued(call: Call) -> bool:
    """The answer will be one streamed text, as far as the request says.  False costs a rescue, never an answer."""
    if not call.stream or call.kind is not _CHATTING:
        return False
    names, fields = _NAMES.get(call.language), call.fields
    if names is None:
        return False
    if names.isdisjoint(fields):
        return True
    for name in fields:  # noqa: SIM110  # a generator costs as much as all the rest
        if name in names and not _asks_for_text(call.language, name, fields):
            return False
    return True


def _asks_for_text(language: str, name: str, fields: Mapping[str, Raw]) -> bool:
    value = _packed(fields[name])
    if value in ASKING[language][name]:
        return True
    if name == "tools":  # they are there, and must not be called
        choice = fields.get("tool_choice")
        return choice is not None and _packed(choice) in _NO_TOOLS
    # Settings beside the form of the answer: OpenAI's `verbosity`, Anthropic's `effort`.
    return name in ("text", "output_config") and value != b"" and b'"format"' not in value


def _packed(value: Raw) -> bytes:
    """A short value without its white space; b"" for a long one, which is never one of those that are known here."""
    view = memoryview(value)
    return bytes(view).translate(None, b" \t\r\n") if len(view) <= SHORT_BYTES else b""


# -- what is asked ------------------------------------------------------------------------------------------------


def continued(request: ChatRequest, text: str) -> ChatRequest:
    """`request` as a model goes on with that has said `text`: without the white space at its end.

    A model must not begin to think now, and what is left of `max_tokens` is an estimate.
    """
    messages = (*request.messages, Message(Role.ASSISTANT, (TextPart(prefill_of(text)),)))
    sampling = request.sampling
    if sampling.max_tokens is not None:
        left = sampling.max_tokens - len(text.encode()) // BYTES_PER_TOKEN
        sampling = replace(sampling, max_tokens=max(left, 1))
    return replace(request, messages=messages, reasoning=None, sampling=sampling)


class Rescue:
    """What is left to be said of one client's stream.  `earlier` is what the broken attempts have used: the client is
    told it together with what the rest takes."""

    __slots__ = ("_call", "_downstream", "_earlier", "_refusing", "_said", "text")

    def __init__(
        self, call: Call, downstream: DownstreamDialect, said: Said, text: str, *, earlier: Usage = NO_USAGE
    ) -> None:
        self.text = text
        self._call = call
        self._downstream = downstream
        self._said = said
        self._earlier = earlier
        self._refusing: set[str] = set()

    @classmethod
    def of(cls, call: Call, downstream: DownstreamDialect, said: Said, *, earlier: Usage = NO_USAGE) -> Rescue | None:
        """The stream has broken off.  None where it cannot be continued."""
        text = said.text()
        return None if text is None else cls(call, downstream, said, text, earlier=earlier)

    def passage(
        self, upstream: UpstreamDialect, at: str, *, prefill: bool, request: ChatRequest | None = None
    ) -> Onward:
        """How `upstream` is asked for the rest.  `at` names the target.  `prefill`: its model takes a trailing
        assistant message.  `request`: the call with its media fetched, where it must be translated."""
        goes_on = prefill and at not in self._refusing and bool(prefill_of(self.text)) and self._is_turn(request)
        return Onward(self, upstream, at, request, goes_on=goes_on)

    def _is_turn(self, request: ChatRequest | None) -> bool:
        """It is the model's turn.  Where the client has made a beginning itself, nobody knows what a model would say
        again: that beginning, ours, or both."""
        whole = self._downstream.chat_request(self._call) if request is None else request
        return bool(whole.messages) and whole.messages[-1].role is not Role.ASSISTANT

    def has_another(self, passage: Passage, error: UpstreamError) -> bool:
        """The same target can be asked again, from the beginning: it has refused to go on with a text."""
        if not (isinstance(passage, Onward) and passage.goes_on and error.status in REFUSALS):
            return False
        if error.code in (CONTEXT, POLICY):
            return False
        self._refusing.add(passage.at)
        return True

    def joint(self, stamp: Stamp, *, goes_on: bool) -> Joint:
        seam: Seam = AfterPrefill(self.text) if goes_on else AfterRestart(self.text)
        encoder = self._said.encoder(self._downstream, self._call, stamp)
        return Joint(seam, encoder, earlier=self._earlier)

    def asked(self, call: Call, upstream: UpstreamDialect, request: ChatRequest | None, *, goes_on: bool) -> Passage:
        """What asks the question; the answer is read by `Onward`."""
        if goes_on:
            whole = self._downstream.chat_request(call) if request is None else request
            return Translation(self._downstream, upstream, request=continued(whole, self.text))
        # Word for word as the first upstream was asked, where that is possible: then it may answer the same.
        own = upstream.passage(call) if call.language == upstream.name else None
        return Translation(self._downstream, upstream, request=request) if own is None else own


class Onward:
    """A `Passage` of a rescue: only for streams.  `goes_on`: way (a)."""

    __slots__ = ("_request", "_rescue", "_upstream", "at", "goes_on")

    def __init__(
        self, rescue: Rescue, upstream: UpstreamDialect, at: str, request: ChatRequest | None, *, goes_on: bool
    ) -> None:
        self.at = at
        self.goes_on = goes_on
        self._rescue = rescue
        self._upstream = upstream
        self._request = request

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        """Raises InvalidRequest."""
        asked = self._rescue.asked(call, self._upstream, self._request, goes_on=self.goes_on)
        return asked.outgoing(call, model=model)

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        raise NotImplementedError("Only streams are rescued.")

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> StreamTap:
        decoder = self._upstream.chat_decoder(provider=provider)
        return Splice(decoder, self._rescue.joint(stamp, goes_on=self.goes_on), provider=provider)

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        reply = self._upstream.decode_chat(body, provider=provider)
        joint = self._rescue.joint(stamp, goes_on=self.goes_on)
        out: list[bytes] = []
        try:
            joint.tell(unfold(reply), out)
            joint.finish(out)
        except DoesNotFit as why:
            raise does_not_fit(why, provider) from why
        return WholeReply(b"".join(out), reply.usage, reply.model or None, reply.finish.reason.value)
