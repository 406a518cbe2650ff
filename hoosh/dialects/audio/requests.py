"""Sound requests as OpenAI's clients write them.

Speech to text comes as a form (`file`, `model`, …; lists as `name[]`), or bare: the file as the body, everything else
in the query.  Text to speech comes as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from hoosh.codec.multipart import FIELDS, FieldHead, boundary_of
from hoosh.dialects.bodies import (
    MODEL_CHARS_MAX,
    Fields,
    kind_of,
    raw_of,
    read_fields,
    string_of,
    take_model,
    take_name,
)
from hoosh.dialects.mistakes import missing, wrong_type
from hoosh.errors import InvalidRequest, UnsupportedMedia
from hoosh.values import CallKind, FormPart, SpeechRequest, TranscriptionRequest

__all__ = ["USUAL_MODEL", "form_boundary", "read_bare", "read_speech", "transcription_request"]

USUAL_MODEL = "whisper-1"
"""What a request that names no model means: servers with one model are asked without."""
INPUT_CHARS_MAX = 4096
SLOWEST, FASTEST = 0.25, 4.0
"""OpenAI's limits (API reference, "Create speech"), and the reference's (section 2.17)."""
EXTENSIONS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mp4": "m4a", "x-m4a": "m4a"}
YES = frozenset({"true", "1", "yes", "on"})


def form_boundary(content_type: bytes) -> bytes | None:
    """None where the body is no form.  Raises InvalidRequest for a form without a boundary."""
    if not content_type.strip().lower().startswith(b"multipart/form-data"):
        return None
    boundary = boundary_of(content_type)
    if boundary is None:
        raise InvalidRequest("The content type `multipart/form-data` names no boundary.")
    return boundary


def read_bare(content_type: bytes, query: str) -> tuple[list[FormPart], FieldHead]:
    """Of a request whose body is the file itself: the fields in its query, and what is known of the file.

    Raises InvalidRequest, UnsupportedMedia.
    """
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    top, _, sub = media_type.partition("/")
    if top not in ("audio", "video") and media_type != "application/octet-stream":
        raise UnsupportedMedia("Send a form (`multipart/form-data`), or the sound itself as `audio/…`.")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError:
        raise InvalidRequest(f"The query has more than {FIELDS} fields.") from None
    fields = [FormPart(name, value.encode("utf-8", "replace")) for name, value in pairs if name != "file"]
    extension = "wav" if top not in ("audio", "video") else EXTENSIONS.get(sub, sub)
    filename = f"audio.{extension}" if extension.isalnum() else "audio"
    return fields, FieldHead("file", filename, media_type)


def transcription_request(
    kind: CallKind, parts: tuple[FormPart, ...], *, length_ms: int | None = None
) -> TranscriptionRequest:
    """What the fields of a form ask for.  Raises InvalidRequest."""
    file = next((part for part in parts if part.name == "file"), None)
    if file is None or not len(file.data):
        raise InvalidRequest("The form must hold the sound in a field called `file`.", param="file")
    said = {part.name: part.text for part in parts if part is not file}
    temperature = said.get("temperature", "").strip() or None
    if temperature is not None and not _is_number(temperature):
        raise InvalidRequest("`temperature` must be a number.", param="temperature")
    lists = ("timestamp_granularities[]", "timestamp_granularities")
    return TranscriptionRequest(
        kind,
        _model(said),
        file,
        parts,
        response_format=said.get("response_format", "").strip() or "json",
        language=said.get("language", "").strip() or None,
        prompt=said.get("prompt") or None,
        temperature=temperature,
        granularities=tuple(part.text.strip() for part in parts if part.name in lists),
        stream=said.get("stream", "").strip().lower() in YES,
        length_ms=length_ms,
    )


def _model(said: Mapping[str, str]) -> str:
    model = said.get("model", "").strip() or USUAL_MODEL
    if len(model) > MODEL_CHARS_MAX or not model.isprintable():  # it goes into headers and logs
        raise InvalidRequest("Invalid 'model': expected the name of a model.", param="model", code="invalid_value")
    return model


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


# -- speech ------------------------------------------------------------------------------------------------------


def read_speech(body: bytes) -> SpeechRequest:
    """Raises InvalidRequest."""
    fields = read_fields(body)
    model = take_model(fields)
    text = _string(fields, "input")
    if text is None:
        raise missing("input")
    if not text:
        message = "Invalid 'input': empty string. Expected at least 1 character."
        raise InvalidRequest(message, param="input", code="empty_string")
    if len(text) > INPUT_CHARS_MAX:
        message = f"Invalid 'input': string too long. Expected at most {INPUT_CHARS_MAX} characters."
        raise InvalidRequest(message, param="input", code="string_above_max_length")
    provider, pool = take_name(fields, "provider"), take_name(fields, "pool")
    return SpeechRequest(
        model,
        text,
        fields,
        voice=_voice(fields),
        response_format=_string(fields, "response_format"),
        speed=_speed(fields),
        events=_string(fields, "stream_format") == "sse",
        provider=provider,
        pool=pool,
    )


def _string(fields: Fields, name: str) -> str | None:
    raw = raw_of(fields, name)
    return None if raw is None else string_of(raw, name)


def _voice(fields: Fields) -> str | None:
    """OpenAI's voices have names; a voice of one's own is an object with an id."""
    return None if (raw_of(fields, "voice") or b"")[:1] == b"{" else _string(fields, "voice")


def _speed(fields: Fields) -> float | None:
    raw = raw_of(fields, "speed")
    if raw is None:
        return None
    try:
        speed = msgspec.json.decode(raw, type=float)
    except msgspec.DecodeError:
        raise wrong_type("speed", "a number", kind_of(raw)) from None
    if not SLOWEST <= speed <= FASTEST:
        message = f"Invalid 'speed': expected a number from {SLOWEST} to {FASTEST}."
        raise InvalidRequest(message, param="speed", code="decimal_out_of_range")
    return speed
