"""whisper.cpp's server: one model, one path, its own names, and its own idea of a transcript.

    POST /inference      `model` is ignored; translate=true instead of a path; language=auto, its default is English
    text                 a blank before and a line end after each segment: taken out
    verbose_json         words lie inside segments, as the model's pieces: put together, and laid beside them

Whole answers only; a stream is the whole told as events.  Where it was started with another --inference-path (or is
another server), OpenAI's path is tried too.  Sound other than WAV it takes only with --convert: it says so itself.

Sources: wire notes 2.15; whisper.cpp's examples/server/README.md; the bodies in documented/whispercpp.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hoosh.dialects.audio.contract import AudioReply
from hoosh.dialects.audio.openai import form_outgoing
from hoosh.dialects.audio.transcript import json_object, read_usage
from hoosh.dialects.contract import Outgoing
from hoosh.errors import InvalidRequest, UpstreamBroke
from hoosh.values import CallKind, FormPart, SpeechRequest, TranscriptionRequest

__all__ = ["WhisperAudio"]

FORMATS = frozenset({"json", "text", "srt", "verbose_json", "vtt"})
TEXT_TYPES = {"srt": "application/x-subrip; charset=utf-8", "vtt": "text/vtt; charset=utf-8"}
OURS = frozenset(
    {"file", "model", "stream", "response_format", "language", "prompt", "temperature", "translate"}
    | {"timestamp_granularities[]", "timestamp_granularities", "chunking_strategy"}
)
REFUSED = ("include", "known_speaker_names", "known_speaker_references", "keywords", "languages")
"""OpenAI's, and nothing here can do them."""


class WhisperAudio:
    """An `AudioDialect` that only listens."""

    name = "whisper"
    takes_files = False

    def encode_transcription(self, request: TranscriptionRequest, *, model: str) -> tuple[Outgoing, ...]:
        if request.response_format not in FORMATS:
            message = f"A whisper server cannot answer as `{request.response_format[:40]}`."
            raise InvalidRequest(message, param="response_format", code="unsupported_value")
        for part in request.parts:
            if (name := part.name.removesuffix("[]")) in REFUSED:
                raise InvalidRequest(f"A whisper server knows no `{name}`.", param=name, code="unsupported_parameter")
        parts = list(_fields(request))
        return form_outgoing("/inference", parts), form_outgoing("/v1/audio/transcriptions", parts)

    def decode_transcription(
        self, request: TranscriptionRequest, media_type: str, body: bytes, *, provider: str
    ) -> AudioReply:
        form = _form(request)
        if form in TEXT_TYPES:
            if body.lstrip()[:1] in (b"<", b"{"):
                json_object(body, provider=provider)
                raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no transcript.", provider=provider)
            return AudioReply(body, TEXT_TYPES[form])
        if form == "text":
            return AudioReply(_clean(body.decode("utf-8", "replace")).encode() + b"\n", "text/plain; charset=utf-8")
        answer = json_object(body, provider=provider)
        if not isinstance(answer.get("text"), str):
            raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no transcript.", provider=provider)
        told = _verbose(request, answer) if form == "verbose_json" else _plain(request, answer)
        return AudioReply(msgspec.json.encode(told), "application/json", read_usage(told))

    def encode_speech(self, request: SpeechRequest, *, model: str) -> tuple[Outgoing, ...]:
        raise InvalidRequest("A whisper server cannot speak.", param="model", code="unsupported_operation")

    def wraps_speech(self, request: SpeechRequest, media_type: str) -> bool:
        return False

    def decode_speech(self, request: SpeechRequest, media_type: str, body: bytes, *, provider: str) -> AudioReply:
        raise UpstreamBroke(f"Provider `{provider}` cannot speak.", provider=provider)


def _form(request: TranscriptionRequest) -> str:
    """What is asked for: a stream is made of JSON."""
    return "json" if request.stream else request.response_format


def _fields(request: TranscriptionRequest) -> Iterator[FormPart]:
    form = _form(request)
    yield request.file
    said = {
        "response_format": form,
        "language": request.language or "auto",
        "prompt": request.prompt,
        "temperature": request.temperature,
        "translate": "true" if request.kind is CallKind.TRANSLATION else None,
        "no_language_probabilities": "true" if form == "verbose_json" else None,  # they cost a pass of their own
    }
    for name, value in said.items():
        if value is not None:
            yield FormPart(name, value.encode("utf-8", "replace"))
    for part in request.parts:  # its own settings: temperature_inc, no_timestamps, max_len, …
        if part.name not in OURS and part.name not in said and part.filename is None:
            yield part


def _clean(text: str) -> str:
    """Segments carry the blanks between them; the line ends are the server's."""
    return text.replace("\r", "").replace("\n", "").strip()


def _plain(request: TranscriptionRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
    """With its usage, as OpenAI tells it, where the recording's length is known."""
    told: dict[str, Any] = {"text": _clean(answer["text"])}
    if request.length_ms is not None:
        told["usage"] = {"type": "duration", "seconds": math.ceil(request.length_ms / 1000)}
    return told


def _verbose(request: TranscriptionRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
    segments = [segment for segment in _list(answer.get("segments")) if isinstance(segment, Mapping)]
    duration = _number(answer.get("duration"))
    told: dict[str, Any] = {
        "task": "translate" if request.kind is CallKind.TRANSLATION else "transcribe",
        "language": _string(answer.get("language")) or _string(answer.get("detected_language")),
        "duration": duration,
        "text": _clean(answer["text"]),
    }
    wanted = request.granularities or ("segment",)
    if "word" in wanted:
        told["words"] = [word for segment in segments for word in _words(segment)]
    if "segment" in wanted:
        told["segments"] = [_segment(number, segment) for number, segment in enumerate(segments)]
    told["usage"] = {"type": "duration", "seconds": math.ceil(duration)}
    return told


def _segment(number: int, segment: Mapping[str, Any]) -> dict[str, Any]:
    text = _string(segment.get("text"))
    encoded = text.encode("utf-8", "replace")
    return {
        "id": segment["id"] if type(segment.get("id")) is int else number,
        "seek": 0,
        "start": _number(segment.get("start")),
        "end": _number(segment.get("end")),
        "text": text,
        "tokens": [token for token in _list(segment.get("tokens")) if type(token) is int],
        "temperature": _number(segment.get("temperature")),
        "avg_logprob": _number(segment.get("avg_logprob")),
        # As OpenAI's whisper computes it.
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 6) if encoded else 0.0,
        "no_speech_prob": _number(segment.get("no_speech_prob")),
    }


def _words(segment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Words of the model's pieces: in writing with blanks, a piece without one goes on with the word before it."""
    has_blanks = " " in _string(segment.get("text")).strip()
    words: list[dict[str, Any]] = []
    for piece in _list(segment.get("words") or segment.get("word")):
        text = _string(piece.get("word")) if isinstance(piece, Mapping) else ""
        if not text.strip():
            continue
        if words and has_blanks and text[:1] != " ":
            words[-1]["word"] += text.rstrip()
            words[-1]["end"] = _number(piece.get("end"))
        else:
            word = {"word": text.strip(), "start": _number(piece.get("start")), "end": _number(piece.get("end"))}
            words.append(word)
    return words


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e15 else 0.0  # type: ignore[arg-type]
