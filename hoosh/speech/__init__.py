"""Transcription in the gateway's own house: what was said?

    engine = SpeechEngine(settings)                           await nursery.start(engine.run)
    async with engine.transcribe(path, options) as transcription:
        async for segment in transcription: …

The libraries (extra `whisper`) and whatever a stranger's file does to them live in child processes.
"""

from hoosh.speech.engine import LoadedModel, SpeechEngine, SpeechStatistics
from hoosh.speech.faults import TranscriberDied
from hoosh.speech.formats import FORMATS, STREAM_END, check_format, delta_event, done_event, render
from hoosh.speech.settings import Whisper
from hoosh.speech.transcript import Segment, Transcript, TranscriptOptions, Word
from hoosh.speech.transcription import Transcription

__all__ = [
    "FORMATS",
    "STREAM_END",
    "LoadedModel",
    "Segment",
    "SpeechEngine",
    "SpeechStatistics",
    "TranscriberDied",
    "Transcript",
    "TranscriptOptions",
    "Transcription",
    "Whisper",
    "Word",
    "check_format",
    "delta_event",
    "done_event",
    "render",
]
