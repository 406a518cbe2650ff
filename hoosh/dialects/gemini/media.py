"""Bytes and addresses as Gemini's parts: `inlineData{mimeType, data}`, `fileData{fileUri, mimeType?}`.

Google fetches nothing from the web but its own: files of the Files API, objects in Cloud Storage, videos on YouTube.
Everything else the gateway has fetched before it comes here.  Of an object in Cloud Storage it wants to know the type,
which nothing but the ending of its name can tell.

Source: ai.google.dev/api/caching#Part, /gemini-api/docs/files, /gemini-api/docs/video-understanding#youtube.
"""

from __future__ import annotations

import re
from typing import Any

from hoosh.dialects.sniffing import media_type_in
from hoosh.errors import InvalidRequest
from hoosh.values import AudioPart, DataSource, FileSource, Source, UrlSource

__all__ = ["audio_part", "is_google_url", "media_part"]

FILES = "https://generativelanguage.googleapis.com/v1beta/"

_google = re.compile(
    r"gs://"
    r"|https://generativelanguage\.googleapis\.com/v\d\w*/files/"
    r"|https://(?:www\.|m\.)?youtube\.com/(?:watch\?|shorts/|live/|embed/)"
    r"|https://youtu\.be/"
)

ENDINGS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "wmv": "video/wmv",
}

AUDIO = {"mp3": "audio/mp3", "pcm16": "audio/pcm"}


def is_google_url(url: str) -> bool:
    """Google reads it itself."""
    return _google.match(url) is not None


def media_part(source: Source) -> dict[str, Any]:
    """Raises InvalidRequest."""
    match source:
        case DataSource():
            return {"inlineData": {"mimeType": source.media_type or _sniffed(source.base64), "data": source.base64}}
        case UrlSource() if is_google_url(source.url):
            return _file(source.url)
        case FileSource() if is_google_url(source.file_id):
            return _file(source.file_id)
        case FileSource() if source.file_id.startswith("files/"):
            return _file(FILES + source.file_id)
        case FileSource():
            wrong = "This provider does not have the file that the request names: send its content."
        case UrlSource():
            wrong = "This provider does not fetch URLs."
    raise InvalidRequest(wrong, param="messages", code="unsupported_parameter")


def _file(uri: str) -> dict[str, Any]:
    media_type = ENDINGS.get(uri.rpartition(".")[2].lower()) if uri.startswith("gs://") else None
    return {"fileData": {"fileUri": uri, **({"mimeType": media_type} if media_type else {})}}


def audio_part(part: AudioPart) -> dict[str, Any]:
    media_type = AUDIO.get(part.format, f"audio/{part.format}")
    return {"inlineData": {"mimeType": media_type, "data": part.base64}}


def _sniffed(base64: str) -> str:
    if media_type := media_type_in(base64):
        return media_type
    raise InvalidRequest("The request holds a file without a media type.", param="messages")
