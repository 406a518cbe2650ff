"""What upstreams do in the weather of a schedule, and what they see: who came when, what he got, when he left.

    Received ──(key, model, prompt)──▶ Attempt ──(the spell that covers it)──▶ Script
                                          └─ noted in the log, when it comes and when it is over

Every answer to an ask has the same words, numbered: `w0 w1 w2 …`.  So whoever reads it sees whether it is whole, cut,
doubled or put together wrongly.  Some upstreams say `v0 v1 v2 …`, as no two models say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from msgspec import Struct
from sim_faults_schedule import Host, Spell

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

__all__ = ["Attempt", "Log", "Upstream", "key_of", "prompt_of"]

ASKED = re.compile(rb"ask (\d+): (\d+) words")
KEY = re.compile(r"key-(\d)$")
SETTLES_S = 0.01
"""Before a reset, which takes back what has not been read yet."""
PAGE = [Head(200, [(b"content-type", b"text/html")]), Body(b"<html><body>Back soon.</body></html>"), End()]
STOPS = {"openai": (b'"stop"', b'"length"'), "anthropic": (b'"end_turn"', b'"max_tokens"')}
STOPS["ollama"] = STOPS["openai"]


def prompt_of(ask: int, words: int) -> str:
    return f"ask {ask}: {words} words"


def key_of(account: int) -> str:
    return f"the-key-{account}"


class Attempt(Struct):
    """One request, as an upstream saw it.  Times are simulated, from the beginning of the hour."""

    ask: int
    host: str
    account: int
    model: str
    at_s: float
    fault: str
    """What it got; "" is a sound answer."""
    said: str
    """By the assistant, to be gone on with."""
    words: list[str]
    """All that the answer has, what was `said` taken off."""
    is_stream: bool
    before_fault: int = 0
    """Tokens that come before its fault."""
    retry_at_s: float | None = None
    """When it was told to come again."""
    ended_s: float | None = None
    was_left: bool = False

    def __str__(self) -> str:
        who = f"{self.host}#{self.account + 1}/{self.model}"
        going_on = f" goes on after {len(self.said.split())} words," if self.said else ""
        return f"{who} hears ask {self.ask},{going_on} plays {self.fault or 'its part'}"


class Log:
    """What has happened, in order."""

    def __init__(self, begins_at_s: float) -> None:
        self.begins_at_s = begins_at_s
        self.attempts: list[Attempt] = []
        self.lines: list[tuple[float, int, str]] = []
        """When, about which ask (-1: about none), and what."""

    def now_s(self) -> float:
        return trio.current_time() - self.begins_at_s

    def tell(self, ask: int, what: str) -> None:
        self.lines.append((self.now_s(), ask, what))


class Upstream(FakeUpstream):
    """One host, in its weather."""

    def __init__(self, host: Host, spells: Sequence[Spell], log: Log) -> None:
        super().__init__(self._answer)
        self.host = host
        self.voice = VOICES[host.language]
        self._spells = spells
        self._left = {spell.number: spell.times for spell in spells}
        self._log = log
        self._open: dict[int, Attempt] = {}

    def left(self, request: Received) -> None:
        attempt = self._open.pop(id(request), None)
        if attempt is not None:
            attempt.ended_s = self._log.now_s()
            attempt.was_left = not request.answered
            how = "is left" if attempt.was_left else "has played to the end"
            self._log.tell(attempt.ask, f"{self.host.name}#{attempt.account + 1}/{attempt.model} {how}")
        super().left(request)

    def _answer(self, request: Received) -> Script:
        if request.method != "POST":
            return json_reply({"object": "list", "data": [], "models": []})
        if request.target.partition("?")[0] != self.voice.path:
            return json_reply({"error": {"message": "no such path"}}, status=404)
        body = json.loads(request.body)
        attempt, limit = self._understand(request, body)
        spell = self._spell_for(attempt)
        if spell is not None:
            attempt.fault, attempt.before_fault = spell.fault, min(spell.tokens, len(attempt.words))
        elif attempt.said and not self.host.takes_prefill:
            attempt.fault = "prefill"
        self._log.attempts.append(attempt)
        self._open[id(request)] = attempt
        self._log.tell(attempt.ask, str(attempt))
        return Playing(self, attempt, limit).script(spell)

    def _understand(self, request: Received, body: Mapping[str, Any]) -> tuple[Attempt, bool]:
        """The request, and whether it ends because it may have no more tokens."""
        found = ASKED.search(request.body)
        assert found is not None, f"whose request is this? {request.body!r}"
        said = _said(body)
        words = _rest([f"{self.host.initial}{number}" for number in range(int(found[2]))], said)
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        most = most or (body.get("options") or {}).get("num_predict") or len(words)
        account = KEY.search(request.headers.text(b"authorization") or request.headers.text(b"x-api-key") or "")
        attempt = Attempt(
            int(found[1]),
            self.host.name,
            int(account[1]) if account else 0,
            body["model"],
            self._log.now_s(),
            "",
            said,
            words[:most],
            self.voice.is_stream(body),
        )
        return attempt, most < len(words)

    def _spell_for(self, attempt: Attempt) -> Spell | None:
        for spell in self._spells:
            left = self._left[spell.number]
            if left != 0 and spell.covers(attempt.account, attempt.model, attempt.at_s):
                if left is not None:
                    self._left[spell.number] = left - 1
                return spell
        return None


def _said(body: Mapping[str, Any]) -> str:
    """The text of a last message that is the assistant's."""
    last = (body.get("messages") or [{}])[-1]
    content = last.get("content") if last.get("role") == "assistant" else ""
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join([part.get("text", "") for part in content])


def _rest(words: list[str], said: str) -> list[str]:
    """Tokens: each but the first word of an answer begins with its space."""
    tokens = [f" {word}" if number else word for number, word in enumerate(words)]
    return tokens[len(said.split()) :]


class Playing:
    """How one attempt is answered."""

    def __init__(self, upstream: Upstream, attempt: Attempt, is_short: bool) -> None:
        self.host = upstream.host
        self.voice: Voice = upstream.voice
        self.attempt = attempt
        self.is_short = is_short

    def script(self, spell: Spell | None) -> Script:
        if spell is None:
            return self.refuse("prefill") if self.attempt.fault == "prefill" else self.whole()
        return PLAYS[spell.fault](self, spell)

    def refuse(self, kind: Refusal, wait_s: float = 0.0) -> Script:
        status, body = self.voice.refusal(kind)
        if not wait_s:
            return json_reply(body, status=status)
        self.attempt.retry_at_s = self.attempt.at_s + wait_s
        return json_reply(body, status=status, headers=((b"retry-after", b"%g" % wait_s),))

    def whole(self) -> Script:
        attempt = self.attempt
        if attempt.is_stream:
            return self.stream(self.events(), End())
        text = "".join(attempt.words)
        return json_reply(
            json.loads(self.ending(json.dumps(self.voice.whole(attempt.model, text, len(attempt.words))).encode()))
        )

    def events(self) -> list[bytes]:
        voice, words = self.voice, self.attempt.words
        finish = [self.ending(event) for event in voice.finish(len(words))]
        return [*voice.opening(self.attempt.model), *map(voice.piece, words), *finish, voice.terminator]

    def ending(self, data: bytes) -> bytes:
        return data.replace(*STOPS[self.voice.name]) if self.is_short else data

    def begun(self, tokens: int) -> list[bytes]:
        return self.events()[: len(self.voice.opening(self.attempt.model)) + min(tokens, len(self.attempt.words))]

    def stream(
        self, events: Sequence[bytes], *last: Step, pause_s: float | None = None, block: int | None = None
    ) -> list[Step]:
        pause_s = self.host.pause_s if pause_s is None else pause_s
        block = self.host.block if block is None else block
        steps: list[Step] = [self.head]
        for at in range(0, len(events), block):
            steps += [Pause(pause_s)] if pause_s and at else []
            steps.append(Body(b"".join(events[at : at + block])))
        return [*[step for step in steps if step != Body(b"")], *last]

    @property
    def head(self) -> Head:
        return Head(200, [(b"content-type", self.voice.stream_type)])

    def part(self, tokens: int, *last: Step) -> Script:
        """A stream that is begun, or half of a body."""
        if self.attempt.is_stream:
            return self.stream(self.begun(tokens), *last)
        head, body, _ = self.whole()
        assert isinstance(body, Body)
        return [head, Body(body.data[: len(body.data) // 2]), *last]

    # -- the faults that are more than a line

    def slow_start(self, spell: Spell) -> Script:
        if not self.attempt.is_stream:
            return [Pause(spell.wait_s), *self.whole()]
        opening = [*self.voice.opening(self.attempt.model), self.voice.noise]
        rest = self.events()[len(opening) - 1 :]
        return [*self.stream(opening, block=100), Pause(spell.wait_s), *self.stream(rest, End())[1:]]

    def slow_body(self, spell: Spell) -> Script:
        if not self.attempt.is_stream:
            return [Pause(spell.wait_s), *self.whole()]
        return self.stream(self.events(), End(), pause_s=spell.wait_s, block=1)

    def error_event(self, spell: Spell) -> Script:
        _, error = self.voice.refusal("overloaded")
        if not self.attempt.is_stream:
            return json_reply(error)
        data = json.dumps(error).encode()
        if self.voice.name == "ollama":
            event = data + b"\n"
        else:
            event = (b"event: error\n" if self.voice.name == "anthropic" else b"") + b"data: %b\n\n" % data
        return self.stream([*self.begun(spell.tokens), event], End())

    def garbage(self, spell: Spell) -> Script:
        if not self.attempt.is_stream:
            return [Head(200, [(b"content-type", b"application/json")]), *self.part(0, End())[1:]]
        begun = self.begun(spell.tokens)
        return self.stream([*begun, self.voice.garbage, *self.events()[len(begun) :]], End())

    def no_done(self, last: Step) -> Script:
        return self.stream(self.events()[:-1], last) if self.attempt.is_stream else self.whole()

    def denied(self, spell: Spell) -> Script:
        _, body = self.voice.refusal("broken")
        return json_reply(body, status=401)


PLAYS: Mapping[str, Callable[[Playing, Spell], Script]] = {
    "busy": lambda play, spell: play.refuse("busy", spell.wait_s),
    "broken": lambda play, spell: play.refuse("broken"),
    "overloaded": lambda play, spell: play.refuse("overloaded"),
    "denied": Playing.denied,
    "reset": lambda play, spell: [Reset()],
    "refused": lambda play, spell: [Reset()],  # it came on a connection that was there before
    "mute": lambda play, spell: [Hang()],
    "slow start": Playing.slow_start,
    "silent": lambda play, spell: [play.head, Hang()] if not spell.tokens else play.part(spell.tokens, Hang()),
    "dies": lambda play, spell: play.part(spell.tokens, Cut()),
    "dies hard": lambda play, spell: play.part(spell.tokens, Pause(SETTLES_S), Reset()),
    "ends early": lambda play, spell: play.part(spell.tokens, End() if play.attempt.is_stream else Cut()),
    "error event": Playing.error_event,
    "garbage": Playing.garbage,
    "no done": lambda play, spell: play.no_done(End()),
    "no done, open": lambda play, spell: play.no_done(Hang()),
    "too long": lambda play, spell: play.refuse("too long"),
    "policy": lambda play, spell: play.refuse("policy"),
    "slow body": Playing.slow_body,
    "page": lambda play, spell: PAGE,
    "nonsense": lambda play, spell: [b"\x15\x03\x01\x00\x02\x02\x28 this is not the protocol", Cut()],
}
