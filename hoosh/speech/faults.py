"""What can go wrong with a transcription, as errors: whose fault it is, and what they may be told."""

from __future__ import annotations

import signal
from importlib.util import find_spec

from hoosh.errors import HooshError, InvalidRequest, Unavailable, UnsupportedMedia
from hoosh.speech.frames import Failed

__all__ = ["TranscriberDied", "check_libraries", "error_of", "how_it_ended"]

LIBRARIES = ("_pywhispercpp", "soundfile", "soxr", "numpy")


class TranscriberDied(HooshError):
    """The process that transcribed has ended in the middle of it: by the recording, by the model or by somebody.

    `said` is the last that it wrote to stderr: for the log, not for clients, since it may name files.
    """

    code = "transcription_failed"

    def __init__(self, message: str, *, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def error_of(failed: Failed) -> HooshError:
    """What the child has said, as an error."""
    match failed.fault:
        case "unsupported":
            return UnsupportedMedia(failed.message, param="file")
        case "invalid":
            return InvalidRequest(failed.message, param="file", code="invalid_audio")
        case "too_long":
            return InvalidRequest(failed.message, param="file", code="audio_too_long")
        case "model":
            return Unavailable(failed.message, code="model_broken")
        case _:
            return TranscriberDied("The transcription failed.", said=failed.message)


def how_it_ended(code: int | None) -> str:
    """An exit status as words: `signal SIGKILL`, `status 3`."""
    if code is None:
        return "nobody knows how"
    if code >= 0:
        return f"status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def check_libraries() -> None:
    """Raises Unavailable where the extra is not installed.  Looks at files."""
    if any(find_spec(name) is None for name in LIBRARIES):
        message = (
            "This gateway cannot transcribe by itself; its owner can change that: pip install 'hoosh-trio[whisper]'."
        )
        raise Unavailable(message, code="not_installed")
