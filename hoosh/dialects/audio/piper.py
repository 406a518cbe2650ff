"""Piper's HTTP server: text in, a whole WAV out.

    POST /synthesize {"text", "voice", "length_scale"}      current
    GET  /?text=…                                           classic: knows neither voice nor pace
    POST / {"text", …}                                      piper1 1.3

In this order: the classic server would read JSON aloud, and the one of 1.3 answers GET with 405.  The WAV says that it
is text/html, errors are pages of HTML, an unknown voice is silently the usual one.  OpenAI's names of voices mean
nothing here and are left out, so that the usual voice speaks.  `speed` is `length_scale`, turned round.

Formats that would have to be encoded are refused; `pcm` is the WAV without its header, whose rate the content type
tells (OpenAI's is always 24 kHz).  Sources: wire notes 2.16; piper1-gpl's docs/API_HTTP.md.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec

from hoosh.dialects.audio.contract import AudioReply
from hoosh.dialects.audio.sound import wav_format
from hoosh.dialects.contract import Outgoing
from hoosh.errors import InvalidRequest, UpstreamBroke
from hoosh.values import SpeechRequest, TranscriptionRequest

__all__ = ["PiperAudio"]

OPENAI_VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"}
)
OWN_FIELDS = ("speaker", "speaker_id", "length_scale", "noise_scale", "noise_w_scale")


class PiperAudio:
    """An `AudioDialect` that only speaks."""

    name = "piper"
    takes_files = False

    def encode_speech(self, request: SpeechRequest, *, model: str) -> tuple[Outgoing, ...]:
        if request.response_format not in (None, "wav", "pcm"):
            message = f"Piper cannot answer as `{request.response_format[:40]}`; ask for `wav` or `pcm`."
            raise InvalidRequest(message, param="response_format", code="unsupported_value")
        if request.events:
            raise InvalidRequest("Piper cannot stream events.", param="stream_format", code="unsupported_value")
        if not request.input.strip():
            raise InvalidRequest("`input` must not be empty.", param="input")  # Piper fails without a word
        said: dict[str, Any] = {"text": request.input}
        if request.voice is not None and request.voice not in OPENAI_VOICES:
            said["voice"] = request.voice
        if request.speed is not None:
            said["length_scale"] = round(1 / request.speed, 6)
        said.update((name, request.fields[name]) for name in OWN_FIELDS if name in request.fields)
        body = msgspec.json.encode(said)
        classic = "/?" + urlencode({"text": request.input}, errors="replace")
        return Outgoing("/synthesize", body), Outgoing(classic, method="GET"), Outgoing("/", body)

    def wraps_speech(self, request: SpeechRequest, media_type: str) -> bool:
        return True  # it comes at once anyway, and only whole shows whether it is sound

    def decode_speech(self, request: SpeechRequest, media_type: str, body: bytes, *, provider: str) -> AudioReply:
        made = wav_format(body)
        if made is None:
            raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no WAV.", provider=provider)
        if request.response_format != "pcm":
            return AudioReply(body, "audio/wav")
        return AudioReply(body[made.start : made.end], f"audio/pcm; rate={made.rate_hz}; channels={made.channels}")

    def encode_transcription(self, request: TranscriptionRequest, *, model: str) -> tuple[Outgoing, ...]:
        raise InvalidRequest("Piper cannot listen.", param="model", code="unsupported_operation")

    def decode_transcription(
        self, request: TranscriptionRequest, media_type: str, body: bytes, *, provider: str
    ) -> AudioReply:
        raise UpstreamBroke(f"Provider `{provider}` cannot listen.", provider=provider)
