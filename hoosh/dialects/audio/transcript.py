"""Transcripts: what is counted of them, and their stream.

    data: {"type": "transcript.text.delta", "delta": …}      as they come
    data: {"type": "transcript.text.segment", …}             diarised
    data: {"type": "transcript.text.done", "text": …, "usage": …}
    data: [DONE]

OpenAI ends its lines with CRLF, and so does this.  Mistral says `transcription.text.delta` {text} and
`transcription.done`; it is told in OpenAI's words.  A stream without its done is cut, whatever ended it.

Sources: wire notes 2.1 (audio); OpenAI's OpenAPI document; Mistral's API reference for transcriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hoosh.codec.sse import EventTooLarge, ServerSentEvent, SseDecoder
from hoosh.dialects.contract import Ending
from hoosh.dialects.faults import error_in
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Usage

__all__ = ["TranscriptTap", "json_object", "read_usage", "told_as_stream"]

DONE_TYPE = "transcript.text.done"
SEGMENT_TYPE = "transcript.text.segment"
IN_OPENAI_WORDS = {
    "transcription.text.delta": "transcript.text.delta",
    "transcription.segment": SEGMENT_TYPE,
    "transcription.done": DONE_TYPE,
}
MAX_EVENT_BYTES = 4 * 1024 * 1024
"""The last event holds the whole text once more."""
MAX_SECONDS = 1e7


def read_usage(answer: Mapping[str, Any]) -> Usage | None:
    """Tokens, and the length of the recording, as far as an answer tells them; None where it tells neither."""
    usage = answer.get("usage")
    if not isinstance(usage, Mapping):
        audio_ms = _milliseconds(answer.get("duration"))
        return Usage(audio_ms=audio_ms) if audio_ms else None
    audio_ms = _milliseconds(usage.get("seconds", usage.get("prompt_audio_seconds", answer.get("duration"))))
    details = usage.get("input_token_details", usage.get("prompt_tokens_details"))
    prompt = _count(usage, "input_tokens", "prompt_tokens")
    completion = _count(usage, "output_tokens", "completion_tokens")
    audio = _count(details, "audio_tokens") if isinstance(details, Mapping) else 0
    unexplained = _count(usage, "total_tokens") - prompt - completion
    if unexplained > 0 and (prompt or completion):  # Mistral leaves the sound out of its prompt
        prompt, audio = prompt + unexplained, audio or unexplained
    audio = min(audio, prompt)
    if not (prompt or completion or audio_ms):
        return None
    return Usage(prompt, completion, audio_prompt_tokens=audio, audio_ms=audio_ms)


def _milliseconds(seconds: object) -> int:
    """0 for what is no length.  OpenAI's first answers told it as text."""
    try:
        told = float(seconds) if isinstance(seconds, str | int | float) else 0.0
    except ValueError:
        return 0
    return round(told * 1000) if 0 < told < MAX_SECONDS else 0


def _count(usage: Mapping[str, Any], *names: str) -> int:
    values = (usage.get(name) for name in names)
    return next((value for value in values if type(value) is int and 0 <= value < 1 << 53), 0)


def json_object(body: bytes, *, provider: str) -> dict[str, Any]:
    """The answer as an object.  Raises UpstreamError where it tells of an error, UpstreamBroke where it is none."""
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no transcript.", provider=provider)
    if answer.get("error") and "text" not in answer:
        raise error_in(answer, provider=provider)
    return answer


def told_as_stream(body: bytes, *, provider: str) -> bytes:
    """A whole JSON transcript as the client's stream, without the terminator.  Raises UpstreamError, UpstreamBroke."""
    answer = json_object(body, provider=provider)
    text = answer.get("text")
    if not isinstance(text, str):
        raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no transcript.", provider=provider)
    done: dict[str, Any] = {"type": DONE_TYPE, "text": text}
    if "usage" in answer:
        done["usage"] = answer["usage"]
    segments = answer.get("segments")
    diarized = [one for one in segments if _is_segment(one)] if isinstance(segments, list) else []
    events = diarized or ([{"type": "transcript.text.delta", "delta": text}] if text else [])
    return b"".join(_frame(event) for event in (*events, done))


def _is_segment(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == SEGMENT_TYPE


def _frame(event: Mapping[str, Any]) -> bytes:
    return b"data: %b\r\n\r\n" % msgspec.json.encode(event)


class TranscriptTap:
    """A `StreamTap` for a stream of transcript events."""

    def __init__(self, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.chunks = 0
        self.has_content = False
        self.terminated = False
        self.error: UpstreamError | None = None
        self._provider = provider
        self._decoder = SseDecoder(max_event_bytes=MAX_EVENT_BYTES)
        self._done = False

    @property
    def has_finished(self) -> bool:
        return (self._done or self.terminated) and self.error is None

    def feed(self, data: bytes) -> bytes:
        try:
            return self._told(self._decoder.feed(data))
        except EventTooLarge as error:
            self._break(str(error))
            return b""

    def close(self) -> tuple[bytes, Ending]:
        rest = self._told(self._decoder.close())
        if self.error is not None:
            return rest, Ending.FAILED
        return rest, Ending.COMPLETE if self._done or self.terminated else Ending.CUT

    def finish_early(self, usage: Usage) -> bytes | None:
        """A transcript has no word for one that is not whole."""
        return None

    def _told(self, events: list[ServerSentEvent]) -> bytes:
        told: list[bytes] = []
        for event in events:
            if self.terminated or self.error is not None:
                break
            told.append(self._tell(event))
        return b"".join(told)

    def _tell(self, event: ServerSentEvent) -> bytes:
        if event.data.startswith("[DONE]"):
            self.terminated = True
            return b""
        try:
            said = msgspec.json.decode(event.data)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return self._break("an event of the transcript is not JSON")
        kind = said.get("type")
        if said.get("error") or event.event == "error" or kind == "error":
            self.error = error_in(said, provider=self._provider)
            return b""
        self.has_content = True
        self.chunks += 1
        translated = IN_OPENAI_WORDS.get(kind) if isinstance(kind, str) else None
        if translated is not None:
            said["type"] = kind = translated
            if translated.endswith(".delta") and "delta" not in said:
                said["delta"] = said.pop("text", "")
        if kind == DONE_TYPE:
            self._done = True
            self.usage = read_usage(said) or self.usage
        if translated is None:
            return b"data: %b\r\n\r\n" % event.data.replace("\n", " ").encode("utf-8", "replace")
        return _frame(said)

    def _break(self, what: str) -> bytes:
        self.error = UpstreamBroke(f"Provider `{self._provider}` failed: {what}.", provider=self._provider)
        return b""
