"""Sound: transcripts, and speech.  What the gateway adds goes into headers here: a form has no place for it.

A recording may be given as bytes, as a path or as a file that is open for reading bytes.  Of the last two only a block
at a time is in memory; a file that cannot be read again, such as a pipe, is sent once and never again.

Source: OpenAI's API reference, "Create transcription" and "Create speech"; product section 4.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, BinaryIO, Literal, TypedDict, Unpack

from msgspec import Struct
from msgspec.structs import replace

from hoosh.client.chats import take_wishes
from hoosh.client.question import Answer, Question, as_json, read_as
from hoosh.codec.form_upload import FormUpload
from hoosh.codec.multipart import encode_form, form_type, new_boundary
from hoosh.values.audio import FormPart
from hoosh.values.caller import Priority

__all__ = ["Segment", "Sound", "Speech", "Transcript", "speak", "transcribe", "translate"]

USUAL_NAME = "sound.wav"
BINARY = "application/octet-stream"


class SoundWishes(TypedDict, total=False):
    pool: str
    provider: str
    priority: Priority
    privacy: Literal["local", "any"]
    timeout_s: float


class Segment(Struct, frozen=True):
    text: str
    start: float = 0.0
    """Seconds."""
    end: float = 0.0


class Transcript(Struct, frozen=True):
    text: str
    language: str | None = None
    duration: float | None = None
    """Seconds."""
    segments: tuple[Segment, ...] = ()
    """Of a format that tells them (`verbose_json`)."""


class Speech(Struct, frozen=True):
    audio: bytes
    media_type: str
    provider: str = ""
    request_id: str = ""


Sound = bytes | str | os.PathLike[str] | BinaryIO
"""Text is a path."""


def transcribe(
    audio: Sound,
    *,
    model: str,
    filename: str | None = None,
    language: str | None = None,
    prompt: str | None = None,
    temperature: float | None = None,
    response_format: Literal["json", "verbose_json"] = "json",
    **wishes: Unpack[SoundWishes],
) -> Question[Transcript]:
    """What is said in a sound file; `filename` tells its kind, where its own name does not.  Raises OSError."""
    fields = {"language": language, "prompt": prompt, "temperature": temperature, "response_format": response_format}
    return _form("/v1/audio/transcriptions", audio, filename, {"model": model, **fields}, wishes)


def translate(
    audio: Sound, *, model: str, filename: str | None = None, prompt: str | None = None, **wishes: Unpack[SoundWishes]
) -> Question[Transcript]:
    """The same in English."""
    return _form("/v1/audio/translations", audio, filename, {"model": model, "prompt": prompt}, wishes)


def speak(
    input: str,
    *,
    model: str,
    voice: str,
    response_format: str | None = None,
    speed: float | None = None,
    instructions: str | None = None,
    **wishes: Unpack[SoundWishes],
) -> Question[Speech]:
    """A text as sound, whole: one that was cut is an error."""
    fields = {"response_format": response_format, "speed": speed, "instructions": instructions}
    told = {name: value for name, value in fields.items() if value is not None}
    body = as_json({"model": model, "input": input, "voice": voice, **told})
    return _question("/v1/audio/speech", body, "application/json", _speech, wishes)


def _speech(answer: Answer) -> Speech:
    headers = answer.headers
    return Speech(
        answer.body,
        headers.get("content-type", ""),
        headers.get("x-hoosh-provider", ""),
        headers.get("x-request-id", ""),
    )


def _form(
    path: str, audio: Sound, filename: str | None, fields: Mapping[str, object], wishes: SoundWishes
) -> Question[Transcript]:
    parts = [FormPart(name, str(value).encode()) for name, value in fields.items() if value is not None]
    read = read_as(Transcript)
    if isinstance(audio, bytes):
        boundary = new_boundary()
        file = FormPart("file", audio, filename or USUAL_NAME, BINARY)
        return _question(path, encode_form([*parts, file], boundary), form_type(boundary).decode(), read, wishes)
    name = filename or os.path.basename(_name_of(audio)) or USUAL_NAME
    opened, size = _opened(audio)
    form = FormUpload(parts, FormPart("file", b"", name, BINARY), opened, size)
    question = _question(path, form, form.content_type, read, wishes)
    return question if size is not None else replace(question, repeat="once")


def _name_of(audio: str | os.PathLike[str] | BinaryIO) -> str:
    """Of a file that was opened by its number, that is no name."""
    name = audio if isinstance(audio, str | os.PathLike) else getattr(audio, "name", "")
    return os.fspath(name) if isinstance(name, str | os.PathLike) else ""


def _opened(
    audio: str | os.PathLike[str] | BinaryIO,
) -> tuple[Callable[[], AbstractContextManager[BinaryIO]], int | None]:
    """How it is opened, or begun anew, and how long it is: None where it can be read only once.  Raises OSError."""
    if not isinstance(audio, str | os.PathLike):
        if not audio.seekable():
            return lambda: nullcontext(audio), None
        start = audio.tell()
        return partial(_rewound, audio, start), audio.seek(0, os.SEEK_END) - audio.seek(start)
    about = os.stat(audio)
    return lambda: open(audio, "rb"), about.st_size if stat.S_ISREG(about.st_mode) else None


def _rewound(file: BinaryIO, start: int) -> AbstractContextManager[BinaryIO]:
    """The file is its owner's to close."""
    file.seek(start)
    return nullcontext(file)


def _question(path: str, body: bytes | FormUpload, media_type: str, read: Any, wishes: SoundWishes) -> Question[Any]:
    unknown = wishes.keys() - SoundWishes.__optional_keys__
    if unknown:
        raise TypeError(f"unknown argument {min(unknown)!r}")
    return Question(
        method="POST",
        path=path,
        read=read,
        repeat="asking",
        body=body,
        headers={"content-type": media_type, **take_wishes(wishes), **_names(wishes)},
        timeout_s=wishes.get("timeout_s"),
    )


def _names(wishes: SoundWishes) -> dict[str, str]:
    named = {"x-hoosh-pool": wishes.get("pool"), "x-hoosh-provider": wishes.get("provider")}
    for header, name in named.items():
        if name is not None and not (name.isascii() and name.isprintable()):
            raise ValueError(f"{header.removeprefix('x-hoosh-')} cannot hold {name[:80]!r}")
    return {header: name for header, name in named.items() if name}
