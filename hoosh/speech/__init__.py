"""Transcription in the gateway's own house: what was said?

    engine = SpeechEngine(settings)                           from hoosh.speech.engine; await nursery.start(engine.run)
    async with engine.transcribe(path, options) as transcription:
        async for segment in transcription: …

The libraries (extra `whisper`) and whatever a stranger's file does to them live in child processes.  Those import this
package, too, and have no use for Trio: hence the engine is not among its names.
"""

from hoosh.speech.faults import TranscriberDied
from hoosh.speech.formats import FORMATS, STREAM_END, check_format, delta_event, done_event, render
from hoosh.speech.settings import Whisper
from hoosh.speech.statistics import LoadedModel, SpeechStatistics
from hoosh.speech.transcript import Segment, Transcript, TranscriptOptions, Word

__all__ = [
    "FORMATS",
    "STREAM_END",
    "LoadedModel",
    "Segment",
    "SpeechStatistics",
    "TranscriberDied",
    "Transcript",
    "TranscriptOptions",
    "Whisper",
    "Word",
    "check_format",
    "delta_event",
    "done_event",
    "render",
]
