"""Which audio dialect a provider type is spoken to in."""

from __future__ import annotations

from hoosh.dialects.audio.contract import AudioDialect
from hoosh.dialects.audio.openai import OpenAIAudio
from hoosh.dialects.audio.piper import PiperAudio
from hoosh.dialects.audio.whisper import WhisperAudio
from hoosh.dialects.audio.xai import XaiAudio

__all__ = ["audio_dialect"]

_OWN: dict[str, AudioDialect] = {"whisper": WhisperAudio(), "piper": PiperAudio(), "grok": XaiAudio()}
_OPENAI = OpenAIAudio()
_SILENT = frozenset({"anthropic", "google", "ollama", "deepseek", "llamacpp", "synapse", "echo"})
"""They have no audio endpoints in OpenAI's form, nor in any that is spoken here."""


def audio_dialect(provider_type: str) -> AudioDialect | None:
    """By wire name of the type; None for a provider that neither listens nor speaks."""
    return None if provider_type in _SILENT else _OWN.get(provider_type, _OPENAI)
