"""Sound: transcripts, and speech.  What the gateway adds goes into headers here: a form has no place for it.

Source: OpenAI's API reference, "Create transcription" and "Create speech"; product section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, Unpack

from msgspec import Struct

from hoosh.client.chats import take_wishes
from hoosh.client.question import Answer, Question, as_json, read_as
from hoosh.codec.multipart import encode_form, form_type, new_boundary
from hoosh.values.audio import FormPart
from hoosh.values.caller import Priority

__all__ = ["Segment", "Speech", "Transcript", "speak", "transcribe", "translate"]


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


def transcribe(
    audio: bytes,
    *,
    model: str,
    filename: str = "sound.wav",
    language: str | None = None,
    prompt: str | None = None,
    temperature: float | None = None,
    response_format: Literal["json", "verbose_json"] = "json",
    **wishes: Unpack[SoundWishes],
) -> Question[Transcript]:
    """What is said in a sound file; `filename` tells its kind."""
    fields = {"language": language, "prompt": prompt, "temperature": temperature, "response_format": response_format}
    return _form("/v1/audio/transcriptions", audio, filename, {"model": model, **fields}, wishes)


def translate(
    audio: bytes, *, model: str, filename: str = "sound.wav", prompt: str | None = None, **wishes: Unpack[SoundWishes]
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
    path: str, audio: bytes, filename: str, fields: Mapping[str, object], wishes: SoundWishes
) -> Question[Transcript]:
    parts = [FormPart(name, str(value).encode()) for name, value in fields.items() if value is not None]
    boundary = new_boundary()
    body = encode_form([*parts, FormPart("file", audio, filename, "application/octet-stream")], boundary)
    return _question(path, body, form_type(boundary).decode(), read_as(Transcript), wishes)


def _question(path: str, body: bytes, media_type: str, read: Any, wishes: SoundWishes) -> Question[Any]:
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
