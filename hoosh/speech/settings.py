"""`[whisper]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["Whisper"]

Count = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1)]


class Whisper(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Transcription in the gateway's own child processes.  Needs the extra `whisper`."""

    model: Text | None = None
    """For requests that name none: the path of a file, or the name of one in `models_dir`."""
    models_dir: Text | None = None
    """A folder of `*.bin` files in ggml's format; requests name them without ending and without `ggml-`."""
    threads: Count | None = None
    """Of one transcription.  None: the cores, but one, divided among the slots; 8 at most."""
    slots: Count = 1
    """Transcriptions at once, each with a model of its own in memory."""
    max_waiting: Annotated[int, Meta(ge=0)] = 16
    """More requests that wait for a slot are turned away."""
    idle_unload_s: Annotated[float, Meta(ge=0)] = 300.0
    """A model that nobody has used for so long leaves the memory; 0: never."""
    max_audio_s: Annotated[float, Meta(gt=0)] = 4 * 3600.0
    """The longest recording."""
    memory_bytes: Count = 8 * 1024**3
    """Of all loaded models together."""
    abort_ms: Count = 150
    """A transcription that does not stop within this time, once its client has left, is killed with its process."""
