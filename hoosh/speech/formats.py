"""A transcript as OpenAI's answers: json, text, srt, verbose_json, vtt, and the events of a stream.

    data: {"type": "transcript.text.delta", "delta": …}      a segment, as it comes
    data: {"type": "transcript.text.done", "text": …, "usage": {"type": "duration", "seconds": …}}
    data: [DONE]

Lines end in CRLF, as OpenAI's do.  Pure.  Sources: wire notes 2.1 (audio); OpenAI's OpenAPI document.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from hoosh.errors import InvalidRequest
from hoosh.speech.languages import language_name
from hoosh.speech.transcript import Segment, Transcript
from hoosh.values.cues import Cue, srt, vtt

__all__ = ["FORMATS", "STREAM_END", "check_format", "delta_event", "done_event", "render"]

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
STREAM_END = b"data: [DONE]\r\n\r\n"
_JSON = "application/json"
_UNKNOWN_TO_THE_LIBRARY: Mapping[str, Any] = {"seek": 0, "no_speech_prob": 0.0}
"""OpenAI's schema demands these, and the library does not tell them."""


def check_format(name: str) -> None:
    """Raises InvalidRequest where no transcript can be told in this form."""
    if name not in FORMATS:
        message = f"A transcript cannot be told as `{name[:40]}`: choose one of {', '.join(FORMATS)}."
        raise InvalidRequest(message, param="response_format", code="unsupported_value")


def render(transcript: Transcript, form: str, granularities: tuple[str, ...] = ()) -> tuple[bytes, str]:
    """The body, and its media type.  `granularities` are those of `verbose_json`: `word`, `segment`, or none said.

    Raises InvalidRequest.
    """
    check_format(form)
    if form == "text":
        return transcript.text.encode() + b"\n", "text/plain; charset=utf-8"
    if form == "srt":
        return srt(_cues(transcript)).encode(), "application/x-subrip; charset=utf-8"
    if form == "vtt":
        return vtt(_cues(transcript)).encode(), "text/vtt; charset=utf-8"
    if form == "verbose_json":
        return msgspec.json.encode(_verbose(transcript, granularities or ("segment",))), _JSON
    return msgspec.json.encode({"text": transcript.text, "usage": _usage(transcript)}), _JSON


def delta_event(segment: Segment, *, is_first: bool) -> bytes:
    """One segment; the deltas of a stream make up the text of its end."""
    text = segment.text.lstrip() if is_first else segment.text
    return _event({"type": "transcript.text.delta", "delta": text})


def done_event(transcript: Transcript) -> bytes:
    return _event({"type": "transcript.text.done", "text": transcript.text, "usage": _usage(transcript)})


def _event(told: Mapping[str, Any]) -> bytes:
    return b"data: %b\r\n\r\n" % msgspec.json.encode(told)


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration_s)}


def _cues(transcript: Transcript) -> list[Cue]:
    return [Cue(segment.text, segment.start_s, segment.end_s) for segment in transcript.segments]


def _verbose(transcript: Transcript, granularities: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "task": "translate" if transcript.options.translate else "transcribe",
        "language": language_name(transcript.language),
        "duration": transcript.duration_s,
        "text": transcript.text,
    }
    if "word" in granularities:
        told["words"] = [{"word": word.text, "start": word.start_s, "end": word.end_s} for word in transcript.words]
    if "segment" in granularities:
        temperature = transcript.options.temperature
        told["segments"] = [_segment(number, one, temperature) for number, one in enumerate(transcript.segments)]
    return {**told, "usage": _usage(transcript)}


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    encoded = segment.text.encode()
    return {
        "id": number,
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": temperature,
        "avg_logprob": 0.0 if segment.avg_logprob is None else segment.avg_logprob,
        # As OpenAI's whisper computes it.
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 6) if encoded else 0.0,
        **_UNKNOWN_TO_THE_LIBRARY,
    }
