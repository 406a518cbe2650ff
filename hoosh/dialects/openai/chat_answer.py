"""A whole OpenAI-family reply as a `ChatReply`: the message is told like one large delta, and folded.

So a stream and a whole reply cannot be read differently.  Source: wire notes 2.1, 2.4 to 2.14.
"""

from __future__ import annotations

from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import read_loosely
from hoosh.dialects.openai.chunks import Answer, ChoicePiece, Piece, decode_chunk, text_of, usage_of
from hoosh.dialects.openai.telling import BROKEN_OFF, Telling, finished
from hoosh.dialects.replies import fold
from hoosh.dialects.sniffing import media_type_in
from hoosh.errors import UpstreamBroke
from hoosh.values import ChatReply, MediaOutput, ReplyEvent, ReplyStarted, UsageReported

__all__ = ["read_chat_reply"]


def read_chat_reply(body: bytes, *, provider: str) -> ChatReply:
    """Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no reply."""
    answer = decode_chunk(body)
    if answer is None:
        raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider)
    choice = _first(answer, body, provider)
    events: list[ReplyEvent] = [ReplyStarted(answer.id or "", answer.model or "")]
    telling = Telling()
    telling.take(_message(choice, provider), events)
    telling.end(events)
    audio = None if choice.message is None else choice.message.audio
    if isinstance(audio, dict) and (sound := text_of(audio.get("data"))):
        events.append(MediaOutput(media_type_in(sound) or "audio/mpeg", sound))  # no reply says which it is
    usage = usage_of(answer)
    if usage is not None:
        events.append(UsageReported(usage))
    events.append(finished(choice.finish_reason or "", has_calls=telling.has_calls, stop=choice.stop_reason))
    return fold(events)


def _first(answer: Answer, body: bytes, provider: str) -> ChoicePiece:
    choices = answer.choices
    if not choices:
        if answer.error or answer.object == "error":
            raise error_in(read_loosely(body), provider=provider)
        raise UpstreamBroke("The upstream's answer has no choices.", provider=provider)
    choice = next((choice for choice in choices if choice.index == 0), choices[0])
    if choice.error:
        raise error_in({"error": choice.error}, provider=provider)
    if choice.finish_reason in BROKEN_OFF:
        if answer.error:
            raise error_in(read_loosely(body), provider=provider)
        raise UpstreamBroke(f"The upstream broke its answer off: {choice.finish_reason}.", provider=provider)
    return choice


def _message(choice: ChoicePiece, provider: str) -> Piece:
    message = choice.message or choice.delta
    if message is None:
        if choice.text is None:
            raise UpstreamBroke("The upstream's answer has no message.", provider=provider)
        return Piece(choice.text)
    for number, call in enumerate(message.tool_calls or ()):
        call.index = number  # each is a call of its own, whatever it is numbered
    return message
