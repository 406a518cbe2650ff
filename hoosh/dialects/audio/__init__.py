"""Sound: speech to text and text to speech, in OpenAI's language to the client and whatever the upstream speaks."""

from hoosh.dialects.audio.contract import AudioDialect, AudioReply, InHouse
from hoosh.dialects.audio.length import sound_ms
from hoosh.dialects.audio.registry import audio_dialect
from hoosh.dialects.audio.requests import USUAL_MODEL, form_boundary, read_bare, read_speech, transcription_request
from hoosh.dialects.audio.sound import speech_type
from hoosh.dialects.audio.transcript import TranscriptTap, told_as_stream

__all__ = [
    "USUAL_MODEL",
    "AudioDialect",
    "AudioReply",
    "InHouse",
    "TranscriptTap",
    "audio_dialect",
    "form_boundary",
    "read_bare",
    "read_speech",
    "sound_ms",
    "speech_type",
    "told_as_stream",
    "transcription_request",
]
