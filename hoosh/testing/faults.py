"""An upstream that fails as the fault catalogue says, by the name of the model that is asked for.

    upstream = FaultyUpstream("anthropic", scale=1 / 30)
    port = await nursery.start(upstream.serve_tcp)          # ask it for `s08`, and the stream dies after 40 tokens

    s01 … s16          the faults; what happens once happens to the first request for that model
    s08-reset          a variant of one: how the stream dies, how long the wait is
    plain              answers, 60 words, always the same; any other name does so too
    other              answers in other words
    plain-no-prefill   refuses (400) a conversation that ends with the assistant; so do all that end so

Who may end with the assistant is continued word for word.  A white space at the end of what was said is the model's to
say again, as models do.  Times are the catalogue's, in its seconds, times `scale`.

What was asked is in `asked`.  Source: the scenario catalogue of Failover Bench, v0.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from msgspec import Struct

from hoosh.testing.upstream import (
    Body,
    Cut,
    End,
    FakeUpstream,
    Hang,
    Head,
    Pause,
    Received,
    Reset,
    Script,
    Step,
    json_reply,
)
from hoosh.testing.voices import VOICES, Refusal, Voice

__all__ = [
    "DIES_AFTER",
    "DOWN_S",
    "FAULTS",
    "OTHER_WORDS",
    "RETRY_AFTER_S",
    "WORDS",
    "Asked",
    "Fault",
    "FaultyUpstream",
    "breaks_at",
    "refuses",
]

WORDS = ("word00", *[f" word{number:02}" for number in range(1, 60)])
"""An answer, a token each."""
OTHER_WORDS = ("else00", *[f" else{number:02}" for number in range(1, 60)])
DIES_AFTER = 40
"""Tokens (S08)."""
SILENT_AFTER = 20
"""Tokens (S09)."""
GARBAGE_AT = 10
"""The event that nobody can read (S10)."""
RETRY_AFTER_S = 2.0
LONG_RETRY_AFTER_S = 120.0
SLOW_S = 20.0
"""Until the first token (S07)."""
DOWN_S = 60.0
"""From the first request on (S15)."""
SETTLES_S = 0.02
"""Real time before a reset, which takes back what the peer has not read yet."""


class Asked(Struct, frozen=True):
    """One request, as far as a fault must know it."""

    model: str
    is_stream: bool
    said: str
    """By the assistant at the end of the conversation, to be gone on with."""
    number: int
    """Among those for this model, from 0."""
    at_s: float
    first_at_s: float
    """The same of the first for this model."""
    body: Mapping[str, Any]


class FaultyUpstream(FakeUpstream):
    """`words` are what it answers, a token each."""

    def __init__(self, language: str = "openai", *, scale: float = 1.0, words: Sequence[str] = WORDS) -> None:
        super().__init__(self._script)
        self.voice: Voice = VOICES[language]
        self.scale = scale
        self.words = words
        self.asked: list[Asked] = []
        self.faults: dict[str, Fault] = dict(FAULTS)
        """By model; tests may add their own."""

    def asked_for(self, model: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.model == model]

    def _script(self, request: Received) -> Script:
        if request.method != "POST":  # a probe, or somebody who wants the list of models
            return json_reply({"object": "list", "data": [], "models": []})
        if request.target.partition("?")[0] != self.voice.path:
            return json_reply({"error": "no such path"}, status=404)
        asked = self._take_in(json.loads(request.body))
        self.asked.append(asked)
        if asked.said and asked.model.endswith("no-prefill"):
            return self.refuse("prefill")
        return self.faults.get(asked.model, FaultyUpstream.answer)(self, asked)

    def _take_in(self, body: Mapping[str, Any]) -> Asked:
        model = body["model"]
        before = self.asked_for(model)
        now_s = trio.current_time()
        first_at_s = before[0].at_s if before else now_s
        return Asked(model, self.voice.is_stream(body), _said(body), len(before), now_s, first_at_s, body)

    # -- what it can do ---------------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Script:
        """The whole of it."""
        events = self.events(asked)
        return self.stream(events, End()) if asked.is_stream else json_reply(self.whole(asked))

    def refuse(self, kind: Refusal, *, retry_after_s: float | None = None) -> Script:
        status, body = self.voice.refusal(kind)
        wait = () if retry_after_s is None else ((b"retry-after", f"{retry_after_s:.3f}".encode()),)
        return json_reply(body, status=status, headers=wait)

    def tokens(self, asked: Asked) -> list[str]:
        """What is left to say."""
        words = OTHER_WORDS if asked.model.startswith("other") else self.words
        if not "".join(words).startswith(asked.said):
            return list(words[len(asked.said.split()) :])
        left, rest = len(asked.said), []
        for word in words:
            if left < len(word):
                rest.append(word[left:])
            left = max(0, left - len(word))
        return rest

    def events(self, asked: Asked) -> list[bytes]:
        """Of a stream: opening, a piece a token, the end, the terminator."""
        voice, tokens = self.voice, self.tokens(asked)
        pieces = [voice.piece(token) for token in tokens]
        return [*voice.opening(asked.model), *pieces, *voice.finish(len(tokens)), voice.terminator]

    def begun(self, asked: Asked, tokens: int) -> list[bytes]:
        """Of a stream: its opening, and so many tokens."""
        return self.events(asked)[: len(self.voice.opening(asked.model)) + tokens]

    def stream(self, events: Sequence[bytes], *last: Step) -> list[Step]:
        head = Head(200, [(b"content-type", self.voice.stream_type)])
        return [head, *[Body(event) for event in events if event], *last]

    def whole(self, asked: Asked) -> object:
        tokens = self.tokens(asked)
        return self.voice.whole(asked.model, "".join(tokens), len(tokens))

    def part(self, asked: Asked, *last: Step) -> list[Step]:
        """Half of an answer that is not streamed."""
        body = json.dumps(self.whole(asked)).encode()
        head = Head(200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))])
        return [head, Body(body[: len(body) // 2]), *last]


def _said(body: Mapping[str, Any]) -> str:
    """The text of a last message that is the assistant's."""
    messages = body.get("messages") or [{}]
    last = messages[-1]
    content = last.get("content") if last.get("role") == "assistant" else ""
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join([part.get("text", "") for part in content])


# -- the faults --------------------------------------------------------------------------------------------------

Fault = Callable[[FaultyUpstream, Asked], Script]


def once(what: Fault) -> Fault:
    """The first request for this model; after that it works."""
    return lambda upstream, asked: upstream.answer(asked) if asked.number else what(upstream, asked)


def refuses(kind: Refusal, *, retry_after_s: float | None = None) -> Fault:
    return lambda upstream, asked: upstream.refuse(
        kind, retry_after_s=None if retry_after_s is None else retry_after_s * upstream.scale
    )


def is_slow(upstream: FaultyUpstream, asked: Asked) -> Script:
    """S07: headers, and what is no content, at once."""
    wait = Pause(SLOW_S * upstream.scale)
    if not asked.is_stream:
        head, *rest = upstream.answer(asked)
        return [head, wait, *rest]
    opening = [*upstream.voice.opening(asked.model), upstream.voice.noise]
    return [*upstream.stream(opening), wait, *upstream.stream(upstream.events(asked)[len(opening) - 1 :], End())[1:]]


def dies(*last: Step) -> Fault:
    """S08: 40 of 60 tokens, and no terminator."""

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        if not asked.is_stream:
            return upstream.part(asked, Cut())  # a body with its length cannot end early in good order
        return upstream.stream(upstream.begun(asked, DIES_AFTER), *last)

    return script


def says_so(tokens: int) -> Fault:
    """S08, told in the stream: so many tokens, then an error."""

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        error = upstream.voice.refusal("overloaded")[1]
        if not asked.is_stream:
            return json_reply(error)
        return upstream.stream([*upstream.begun(asked, tokens), upstream.voice.event(error)], End())

    return script


def breaks_at(share: float) -> Fault:
    """S08 at any byte: so much of the stream comes, and not a byte more."""

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        whole = b"".join(upstream.events(asked))
        return upstream.stream([whole[: int(len(whole) * share)]], Cut())

    return script


def falls_silent(upstream: FaultyUpstream, asked: Asked) -> Script:
    """S09."""
    return (
        upstream.stream(upstream.begun(asked, SILENT_AFTER), Hang())
        if asked.is_stream
        else upstream.part(asked, Hang())
    )


def babbles(upstream: FaultyUpstream, asked: Asked) -> Script:
    """S10: between two tokens something that is not JSON; not one token is missing."""
    if not asked.is_stream:
        return [Head(200, [(b"content-type", b"application/json")]), *upstream.part(asked, End())[1:]]
    events = upstream.events(asked)
    events.insert(GARBAGE_AT - 1, upstream.voice.garbage)
    return upstream.stream(events, End())


def forgets_to_end(last: Step) -> Fault:
    """S11: all is said, counts and all, but for the terminator."""

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        return upstream.stream(upstream.events(asked)[:-1], last) if asked.is_stream else upstream.answer(asked)

    return script


def is_down(upstream: FaultyUpstream, asked: Asked) -> Script:
    """S15: for a minute from the first request on."""
    if asked.at_s < asked.first_at_s + DOWN_S * upstream.scale:
        return upstream.refuse("overloaded")
    return upstream.answer(asked)


FAULTS: Mapping[str, Fault] = {
    "s01": once(refuses("busy", retry_after_s=RETRY_AFTER_S)),
    "s01-long": refuses("busy", retry_after_s=LONG_RETRY_AFTER_S),
    "s02": refuses("busy"),
    "s03": once(refuses("broken")),
    "s04": refuses("overloaded"),
    "s05": once(lambda upstream, asked: [Reset()]),
    "s06": lambda upstream, asked: [Hang()],
    "s07": is_slow,
    "s08": dies(Cut()),
    "s08-reset": dies(Pause(SETTLES_S), Reset()),
    "s08-end": dies(End()),
    "s08-error": says_so(DIES_AFTER),
    "s08-early": says_so(0),
    "s09": falls_silent,
    "s10": babbles,
    "s11": forgets_to_end(End()),
    "s11-cut": forgets_to_end(Cut()),
    "s11-open": forgets_to_end(Hang()),
    "s12": refuses("too long"),
    "s13": refuses("policy"),
    "s14": dies(Cut()),
    "s15": is_down,
    "s16": refuses("overloaded"),
}
