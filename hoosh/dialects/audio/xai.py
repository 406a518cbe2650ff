"""xAI's voice endpoints: `POST /v1/stt`, a form whose file comes last, and `POST /v1/tts`, JSON in and sound out.

A transcript is its text and its words with times and, if asked, speakers.  Segments are made of the words: a new one
begins with a sentence or with a speaker; subtitles are made of those.  Nothing is translated, and `prompt` and
`temperature`, which have no counterpart, are left out.

A voice of OpenAI's means nothing here and is left out: xAI's usual one speaks.  `instructions` are left out too.

Sources: docs.x.ai, "Speech to Text" and "Text to Speech"; the recording of /v1/stt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.dialects.audio.contract import AudioReply
from hoosh.dialects.audio.openai import form_outgoing
from hoosh.dialects.audio.piper import OPENAI_VOICES
from hoosh.dialects.audio.transcript import json_object, read_usage
from hoosh.dialects.contract import Outgoing
from hoosh.errors import InvalidRequest, UpstreamBroke
from hoosh.values import CallKind, FormPart, SpeechRequest, TranscriptionRequest
from hoosh.values.cues import Cue, srt, vtt

__all__ = ["XaiAudio"]

FORMATS = frozenset({"json", "text", "srt", "verbose_json", "vtt", "diarized_json"})
CODECS = {None: "mp3", "mp3": "mp3", "wav": "wav", "pcm": "pcm", "mulaw": "mulaw", "alaw": "alaw"}
PCM_RATE_HZ = 24_000
"""OpenAI's."""
NOT_FOR_XAI = frozenset(
    {"file", "model", "language", "stream", "response_format", "prompt", "temperature", "chunking_strategy", "diarize"}
    | {"timestamp_granularities[]", "timestamp_granularities"}
)
REFUSED = ("include", "known_speaker_names", "known_speaker_references", "languages")
OWN_FIELDS = ("language", "output_format", "optimize_streaming_latency", "text_normalization")
SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！", "؟", "۔")


class XaiAudio:
    """An `AudioDialect`."""

    name = "xai"
    takes_files = False

    def encode_transcription(self, request: TranscriptionRequest, *, model: str) -> tuple[Outgoing, ...]:
        if request.kind is CallKind.TRANSLATION:
            raise InvalidRequest("xAI cannot translate speech.", param="model", code="unsupported_operation")
        if request.response_format not in FORMATS:
            message = f"xAI cannot answer as `{request.response_format[:40]}`."
            raise InvalidRequest(message, param="response_format", code="unsupported_value")
        for part in request.parts:
            if (name := part.name.removesuffix("[]")) in REFUSED:
                raise InvalidRequest(f"xAI knows no `{name}`.", param=name, code="unsupported_parameter")
        return (form_outgoing("/v1/stt", [*_fields(request, model), request.file]),)

    def decode_transcription(
        self, request: TranscriptionRequest, media_type: str, body: bytes, *, provider: str
    ) -> AudioReply:
        answer = json_object(body, provider=provider)
        text = answer.get("text")
        if not isinstance(text, str):
            raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no transcript.", provider=provider)
        form, usage = request.response_format, read_usage(answer)
        if request.stream and form != "diarized_json":
            form = "json"
        words = _words(answer.get("words"))
        if not words and text.strip():  # no times: all of it at once
            words = [_Word(_clean(text), 0.0, _seconds(answer.get("duration")), None)]
        match form:
            case "text":
                return AudioReply(_encoded(text + "\n"), "text/plain; charset=utf-8", usage)
            case "srt":
                return AudioReply(_encoded(srt(_cues(words))), "application/x-subrip; charset=utf-8", usage)
            case "vtt":
                return AudioReply(_encoded(vtt(_cues(words))), "text/vtt; charset=utf-8", usage)
        told = _told(form, request, answer, words)
        return AudioReply(msgspec.json.encode(told), "application/json", usage)

    def encode_speech(self, request: SpeechRequest, *, model: str) -> tuple[Outgoing, ...]:
        if request.response_format not in CODECS:
            message = f"xAI cannot answer as `{(request.response_format or '')[:40]}`; ask for `mp3`, `wav` or `pcm`."
            raise InvalidRequest(message, param="response_format", code="unsupported_value")
        if request.events:
            raise InvalidRequest("xAI cannot stream events.", param="stream_format", code="unsupported_value")
        codec = CODECS[request.response_format]
        said: dict[str, Any] = {"text": request.input, "language": "auto", "output_format": {"codec": codec}}
        if codec == "pcm":
            said["output_format"]["sample_rate"] = PCM_RATE_HZ
        if request.voice is not None and request.voice not in OPENAI_VOICES:
            said["voice_id"] = request.voice
        if request.speed is not None:
            said["speed"] = request.speed
        said.update((name, request.fields[name]) for name in OWN_FIELDS if name in request.fields)
        return (Outgoing("/v1/tts", msgspec.json.encode(said)),)

    def wraps_speech(self, request: SpeechRequest, media_type: str) -> bool:
        return False

    def decode_speech(self, request: SpeechRequest, media_type: str, body: bytes, *, provider: str) -> AudioReply:
        raise UpstreamBroke(f"Provider `{provider}` gave an answer without sound.", provider=provider)


def _fields(request: TranscriptionRequest, model: str) -> Iterator[FormPart]:
    if model.startswith("grok-"):  # its first endpoint had no models, and `whisper-1` is none of its
        yield FormPart("model", model.encode())
    if request.language is not None:
        yield FormPart("language", request.language.encode("utf-8", "replace"))
    asked = any(part.name == "diarize" and part.text == "true" for part in request.parts)
    if asked or request.response_format == "diarized_json":
        yield FormPart("diarize", b"true")
    for part in request.parts:  # its own settings: format, keyterm, multichannel, …
        if part.name in ("keywords", "keywords[]"):
            yield FormPart("keyterm", part.data)
        elif part.name not in NOT_FOR_XAI and part.filename is None:
            yield part


class _Word(Struct, frozen=True):
    text: str
    start: float
    end: float
    speaker: int | None


class _Segment(Struct):
    text: str
    start: float
    end: float
    speaker: int | None


def _words(found: object) -> list[_Word]:
    words = []
    for word in found if isinstance(found, list) else ():
        if isinstance(word, dict) and isinstance(text := word.get("text"), str) and text.strip():
            speaker = word.get("speaker")
            start, end = _seconds(word.get("start")), _seconds(word.get("end"))
            words.append(_Word(_clean(text), start, end, speaker if type(speaker) is int else None))
    return words


def _segments(words: list[_Word]) -> list[_Segment]:
    segments: list[_Segment] = []
    for word in words:
        last = segments[-1] if segments else None
        if last is None or last.speaker != word.speaker or last.text.endswith(SENTENCE_ENDS):
            segments.append(_Segment(word.text, word.start, word.end, word.speaker))
        else:
            last.text += f" {word.text}"
            last.end = word.end
    return segments


def _cues(words: list[_Word]) -> list[Cue]:
    return [Cue(segment.text, segment.start, segment.end) for segment in _segments(words)]


def _told(form: str, request: TranscriptionRequest, answer: dict[str, Any], words: list[_Word]) -> dict[str, Any]:
    duration = _seconds(answer.get("duration"))
    usage = {"type": "duration", "seconds": math.ceil(duration)}
    text = _clean(answer["text"])
    if form == "json":
        return {"text": text, "usage": usage}
    told: dict[str, Any] = {"task": "transcribe", "duration": duration, "text": text}
    if form == "diarized_json":
        told["segments"] = [_diarized(number, segment) for number, segment in enumerate(_segments(words))]
        return {**told, "usage": usage}
    language = answer.get("language")
    told["language"] = _clean(language) if isinstance(language, str) else request.language or ""
    wanted = request.granularities or ("segment",)
    if "word" in wanted:
        told["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in words]
    if "segment" in wanted:
        told["segments"] = [_plain(number, segment) for number, segment in enumerate(_segments(words))]
    return {**told, "usage": usage}


def _diarized(number: int, segment: _Segment) -> dict[str, Any]:
    speaker = segment.speaker or 0
    name = chr(ord("A") + speaker) if 0 <= speaker < 26 else str(speaker)
    times = {"start": segment.start, "end": segment.end}
    return {"type": "transcript.text.segment", "id": f"seg_{number}", "text": segment.text, "speaker": name, **times}


def _plain(number: int, segment: _Segment) -> dict[str, Any]:
    """What OpenAI says besides is about whisper's decoding, of which there is none here."""
    nothing: dict[str, Any] = {"seek": 0, "tokens": [], "temperature": 0.0, "avg_logprob": 0.0}
    times = {"start": segment.start, "end": segment.end}
    return {"id": number, "text": segment.text, **times, **nothing, "compression_ratio": 0.0, "no_speech_prob": 0.0}


def _clean(text: str) -> str:
    return _encoded(text).decode().strip()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half of a surrogate pair, from somebody's broken JSON


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < 1e9 else 0.0
