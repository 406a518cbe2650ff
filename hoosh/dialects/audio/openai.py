"""OpenAI's own audio endpoints, and everybody's who has them: the client's fields, with the model's name replaced.

Order and unknown fields stay.  Mistral wraps the sound of a speech: `{"audio_data": base64}`.
Sources: wire notes 2.1 (audio) and 2.4; OpenAI's OpenAPI document; recordings of OpenAI, Mistral and OpenRouter.
"""

from __future__ import annotations

import binascii

import msgspec
from msgspec import Raw

from hoosh.codec.multipart import form_pieces, form_type, new_boundary
from hoosh.dialects.audio.contract import AudioReply
from hoosh.dialects.audio.sound import MEDIA_TYPES, is_page, sound_type
from hoosh.dialects.audio.transcript import json_object, read_usage
from hoosh.dialects.contract import Outgoing
from hoosh.errors import UpstreamBroke
from hoosh.values import CallKind, FormPart, SpeechRequest, TranscriptionRequest

__all__ = ["OpenAIAudio", "form_outgoing"]

JSON_FORMATS = frozenset({"json", "verbose_json", "diarized_json"})
PATHS = {CallKind.TRANSCRIPTION: "/v1/audio/transcriptions", CallKind.TRANSLATION: "/v1/audio/translations"}
TEXT_TYPES = {"vtt": "text/vtt; charset=utf-8"}


class OpenAIAudio:
    """An `AudioDialect`."""

    name = "openai"
    takes_files = False

    def encode_transcription(self, request: TranscriptionRequest, *, model: str) -> tuple[Outgoing, ...]:
        named = FormPart("model", model.encode())
        parts = [named if part.name == "model" else part for part in request.parts]
        if named not in parts:
            parts.insert(0, named)
        return (form_outgoing(PATHS[request.kind], parts),)

    def decode_transcription(
        self, request: TranscriptionRequest, media_type: str, body: bytes, *, provider: str
    ) -> AudioReply:
        is_json = media_type.lower().startswith("application/json")
        if request.stream or request.response_format in JSON_FORMATS:
            return AudioReply(body, "application/json", read_usage(json_object(body, provider=provider)))
        if is_json and body.lstrip()[:1] == b"{":  # some servers know no other form
            text = json_object(body, provider=provider).get("text")
            if request.response_format == "text" and isinstance(text, str):
                return AudioReply(text.encode("utf-8", "replace") + b"\n", "text/plain; charset=utf-8")
            raise UpstreamBroke(f"Provider `{provider}` did not answer in the form asked for.", provider=provider)
        if body.lstrip()[:1] == b"<":
            raise UpstreamBroke(f"Provider `{provider}` gave an answer that is no transcript.", provider=provider)
        return AudioReply(body, TEXT_TYPES.get(request.response_format, "text/plain; charset=utf-8"))

    def encode_speech(self, request: SpeechRequest, *, model: str) -> tuple[Outgoing, ...]:
        fields = {**request.fields, "model": Raw(msgspec.json.encode(model))}
        return (Outgoing("/v1/audio/speech", msgspec.json.encode(fields)),)

    def wraps_speech(self, request: SpeechRequest, media_type: str) -> bool:
        return media_type.lower().startswith("application/json")

    def decode_speech(self, request: SpeechRequest, media_type: str, body: bytes, *, provider: str) -> AudioReply:
        answer = json_object(body, provider=provider)
        encoded = answer.get("audio_data")
        try:
            sound = binascii.a2b_base64(encoded) if isinstance(encoded, str) else b""
        except ValueError:  # binascii.Error is one; letters outside ASCII are another
            sound = b""
        if not sound or is_page(sound):
            raise UpstreamBroke(f"Provider `{provider}` gave an answer without sound.", provider=provider)
        asked = MEDIA_TYPES.get(request.response_format or "mp3", "application/octet-stream")
        return AudioReply(sound, sound_type(sound) or asked, read_usage(answer))


def form_outgoing(path: str, parts: list[FormPart]) -> Outgoing:
    boundary = new_boundary()
    return Outgoing(path, form_pieces(parts, boundary), headers=[(b"content-type", form_type(boundary))])
