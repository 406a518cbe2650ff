"""Where a second answer is joined to the beginning of a first: a tap that goes on with a stream already sent in part.

    bytes ──B's decoder──▶ events ──Seam──▶ what the client has not got yet ──encoder in the middle──▶ bytes

Two seams, by what B has been asked:

    AfterPrefill     to go on with the text so far.  White space at its end was not sent, so it may come again once.
                     Some say again all that they were given (Mistral): that is dropped, unless the text is so short or
                     so regular that it may as well be new; then nobody knows, and the answer ends in an error.
    AfterRestart     the same as A: all that the client has must come again, sign for sign, and is dropped.  An answer
                     that differs, or ends before, cannot be joined: nothing of it is passed on.

Thoughts of B are nobody's concern any more.  A call, a refusal or a picture after the text of another model is an
error.  Nothing that does not fit is ever passed off as the answer.

Contract: ../shared/design/faults.md, S08, S09, S14.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hoosh.dialects.contract import Ending, StreamDecoder, StreamEncoder
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import (
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSealed,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    Usage,
    UsageReported,
)

__all__ = ["NO_USAGE", "AfterPrefill", "AfterRestart", "DoesNotFit", "Joint", "Seam", "Splice", "does_not_fit"]
__all__ += ["prefill_of"]

SURE_CHARS = 32
"""A text as long as this that comes again, and does not repeat itself, is an echo."""
NO_USAGE = Usage()
UNHEARD = (ReplyStarted, ReasoningDelta, ReasoningSealed)


class DoesNotFit(Exception):
    """The second answer cannot be joined to the first; says why."""


class Seam(Protocol):
    def feed(self, text: str) -> str:
        """What of `text` the client has not got.  Raises DoesNotFit."""
        ...

    def end(self) -> str:
        """The answer is over: what was held back.  Raises DoesNotFit."""
        ...


def prefill_of(said: str) -> str:
    """What a model is given to go on with.  Anthropic refuses white space at the end, and others do better without:
    a new word's token begins with it."""
    return said.rstrip()


class AfterPrefill:
    """A `Seam`.  There must be something to go on with: `prefill_of(said)` is not empty."""

    __slots__ = ("_given", "_held", "_is_joined", "_spaces")

    def __init__(self, said: str) -> None:
        self._given = prefill_of(said)
        self._spaces = said[len(self._given) :]
        self._held = ""
        self._is_joined = False

    def feed(self, text: str) -> str:
        if self._is_joined:
            return text
        self._held += text
        return self._join(is_over=False)

    def end(self) -> str:
        return "" if self._is_joined else self._join(is_over=True)

    def _join(self, *, is_over: bool) -> str:
        """What may go out; "" while it cannot be told."""
        given, held = self._given, self._held
        if given and held.startswith(given):
            if len(given) < SURE_CHARS or _repeats_itself(given):
                raise DoesNotFit("it may have repeated what was said, or gone on with it")
            self._given, self._held = "", held[len(given) :]
            return self._join(is_over=is_over)
        if given.startswith(held) and given and not is_over:
            return ""
        again = _common(self._spaces, held)
        if again == len(held) < len(self._spaces) and not is_over:
            return ""
        self._is_joined = True
        self._held = ""
        return held[again:]


class AfterRestart:
    """A `Seam`."""

    __slots__ = ("_at", "_said")

    def __init__(self, said: str) -> None:
        self._said = said
        self._at = 0  # so much has come again

    def feed(self, text: str) -> str:
        said, at = self._said, self._at
        if at == len(said):
            return text
        left = len(said) - at
        if not said.startswith(text[:left], at):
            raise DoesNotFit("it says something else than what was sent already")
        self._at += min(left, len(text))
        return text[left:]

    def end(self) -> str:
        if self._at < len(self._said):
            raise DoesNotFit("it ends before what was sent already")
        return ""


def _common(one: str, other: str) -> int:
    """The length of the beginning that both have."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _repeats_itself(text: str) -> bool:
    """It is some shorter text, twice or more."""
    return text in (text + text)[1:-1]


class Joint:
    """B's events, as the rest of the client's stream.  `earlier` is what the broken attempts have cost: what the
    client is told as usage is all of it."""

    __slots__ = ("_earlier", "_seam", "encoder")

    def __init__(self, seam: Seam, encoder: StreamEncoder, *, earlier: Usage = NO_USAGE) -> None:
        self._seam = seam
        self._earlier = earlier
        self.encoder = encoder

    def tell(self, events: Iterable[ReplyEvent], out: list[bytes]) -> None:
        """Raises DoesNotFit; what came before is in `out` then."""
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                if text := self._seam.feed(event.text):  # type: ignore[union-attr]
                    out.append(self.encoder.encode((TextDelta(text),)))
            elif isinstance(event, UsageReported):
                out.append(self.encoder.encode((UsageReported(event.usage + self._earlier),)))
            elif kind is Finished:
                out.append(self.encoder.encode((event,)))
            elif kind not in UNHEARD:
                raise DoesNotFit("it goes on with something else than text")

    def finish(self, out: list[bytes]) -> None:
        """Raises DoesNotFit."""
        if text := self._seam.end():
            out.append(self.encoder.encode((TextDelta(text),)))
        out.append(self.encoder.finish())

    def end_early(self, usage: Usage) -> bytes:
        ending: Sequence[ReplyEvent] = (Finished(FinishReason.LENGTH), UsageReported(usage + self._earlier))
        return self.encoder.encode(ending) + self.encoder.finish()


class Splice:
    """A `StreamTap`.  `chunks` and `has_content` are of what goes to the client from now on, `usage` is B's own."""

    __slots__ = ("_decoder", "_joint", "_misfit", "_provider")

    def __init__(self, decoder: StreamDecoder, joint: Joint, *, provider: str) -> None:
        self._decoder = decoder
        self._joint = joint
        self._provider = provider
        self._misfit: UpstreamError | None = None

    @property
    def usage(self) -> Usage | None:
        return self._decoder.usage

    @property
    def chunks(self) -> int:
        return self._joint.encoder.chunks

    @property
    def has_content(self) -> bool:
        return self._joint.encoder.chunks > 0

    @property
    def terminated(self) -> bool:
        return self._decoder.terminated

    @property
    def has_finished(self) -> bool:
        return self._misfit is None and self._decoder.has_finished

    @property
    def error(self) -> UpstreamError | None:
        return self._misfit or self._decoder.error

    def feed(self, data: bytes) -> bytes:
        if self._misfit is not None:
            return b""
        return self._told(self._decoder.feed(data))

    def close(self) -> tuple[bytes, Ending]:
        if self._misfit is not None:
            return b"", Ending.FAILED
        events, ending = self._decoder.close()
        rest = self._told(events, is_over=ending is Ending.COMPLETE)
        return rest, Ending.FAILED if self._misfit is not None else ending

    def finish_early(self, usage: Usage) -> bytes | None:
        return self._joint.end_early(usage) if self.error is None else None

    def _told(self, events: Sequence[ReplyEvent], *, is_over: bool = False) -> bytes:
        out: list[bytes] = []
        try:
            self._joint.tell(events, out)
            if is_over:
                self._joint.finish(out)
        except DoesNotFit as why:
            self._misfit = does_not_fit(why, self._provider)
        return b"".join(out)


def does_not_fit(why: DoesNotFit, provider: str) -> UpstreamBroke:
    message = f"The answer broke off, and provider `{provider}` cannot go on with it: {why}."
    return UpstreamBroke(message, provider=provider)
