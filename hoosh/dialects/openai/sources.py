"""Images, sounds and documents in a request: `data:` URLs taken apart, remote ones let through, all else refused.

Base64 is checked here, so that no upstream is sent what it must refuse; blanks in it, a missing padding and the URL
alphabet are put right.  Source: RFC 2397; RFC 4648; wire notes 2.1.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from hoosh.dialects.mistakes import missing
from hoosh.dialects.openai.body import FileBody, ImageUrl
from hoosh.errors import InvalidRequest
from hoosh.values import DataSource, FilePart, FileSource, Source, UrlSource

__all__ = ["audio_format", "base64_of", "document_of", "document_source", "image_source"]

MEDIA_TYPES = {"image/jpg": "image/jpeg", "image/x-png": "image/png"}
"""What people write, and what they mean."""

DOCUMENT_TYPES = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv"}
DOCUMENT_TYPES |= {"html": "text/html", "json": "application/json", "xml": "text/xml"}
PDF = "JVBERi0"  # "%PDF-"
AUDIO = {"UklGR": "wav", "T2dnU": "ogg", "ZkxhQ": "flac"}
"""RIFF, OggS and fLaC in base64; what begins with none of them is most likely MP3."""

_tidy = str.maketrans("-_", "+/", " \t\r\n=")


def image_source(image: ImageUrl | str, path: str) -> Source:
    """`path` is that of the part; raises InvalidRequest naming the field below it."""
    if isinstance(image, str):
        return _source(image, f"{path}.image_url")
    return _source(image.url, f"{path}.image_url.url")


def document_of(file: FileBody | None, path: str) -> FilePart:
    if file is None:
        raise missing(f"{path}.file")
    if file.file_data:
        return FilePart(_document_source(file.file_data, file.filename, f"{path}.file.file_data"), file.filename)
    if file.file_id:
        return FilePart(FileSource(file.file_id), file.filename)
    raise missing(f"{path}.file.file_data")


def audio_format(base64: str) -> str:
    """OpenAI's word for a sound whose format nobody has named."""
    return AUDIO.get(base64[:5], "mp3")


def base64_of(text: str, path: str) -> str:
    """`text` as standard base64.  Raises InvalidRequest."""
    if _is_base64(text):
        return text
    tidied = text.translate(_tidy)
    padded = tidied + "=" * (-len(tidied) % 4)
    if not _is_base64(padded):
        raise InvalidRequest(f"Invalid '{path}': expected base64-encoded data.", param=path, code="invalid_value")
    return padded


def _is_base64(text: str) -> bool:
    try:
        return bool(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:  # binascii.Error, and letters outside ASCII
        return False


def _source(url: str, path: str) -> Source:
    scheme = url[:8].lower()
    if scheme.startswith("data:"):
        return _data_source(url, path)
    if scheme.startswith(("http://", "https://")):
        return UrlSource(url)
    message = f"Invalid '{path}': expected a URL that begins with http:, https: or data:."
    raise InvalidRequest(message, param=path, code="invalid_value")


def _data_source(url: str, path: str) -> DataSource:
    head, comma, data = url.partition(",")
    if not comma:
        message = f"Invalid '{path}': expected data:<media type>;base64,<data>."
        raise InvalidRequest(message, param=path, code="invalid_value")
    media_type, *parameters = head[5:].split(";")
    media_type = media_type.strip().lower()
    if "base64" not in [parameter.strip().lower() for parameter in parameters]:
        data = b64encode(unquote_to_bytes(data)).decode()
    elif "%" in data:
        data = unquote_to_bytes(data).decode("latin-1")
    return DataSource(MEDIA_TYPES.get(media_type, media_type), base64_of(data, path))


def document_source(url: str, path: str) -> Source:
    """Of a document that is named by URL, `data:` included."""
    return _source(url, path)


def _document_source(data: str, filename: str | None, path: str) -> Source:
    if data[:8].lower().startswith(("data:", "http://", "https://")):
        return _source(data, path)
    return DataSource(_document_type(data, filename), base64_of(data, path))


def _document_type(data: str, filename: str | None) -> str:
    if data.startswith(PDF):
        return DOCUMENT_TYPES["pdf"]
    return DOCUMENT_TYPES.get((filename or "").rpartition(".")[2].lower(), "")
