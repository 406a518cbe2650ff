"""Sound: speech to text and text to speech, in OpenAI's language to the client and whatever the upstream speaks."""

from hoosh.dialects.audio.contract import AudioDialect, AudioReply
from hoosh.dialects.audio.registry import audio_dialect
from hoosh.dialects.audio.requests import read_speech, read_transcription
from hoosh.dialects.audio.sound import speech_type
from hoosh.dialects.audio.transcript import TranscriptTap, told_as_stream

__all__ = [
    "AudioDialect",
    "AudioReply",
    "TranscriptTap",
    "audio_dialect",
    "read_speech",
    "read_transcription",
    "speech_type",
    "told_as_stream",
]
