"""Images, sounds and documents in a request: `data:` URLs taken apart, remote ones let through, all else refused.

Base64 is checked here, so that no upstream is sent what it must refuse; blanks in it, a missing padding and the URL
alphabet are put right.  `path` is where the client wrote it.  Everything raises InvalidRequest.

Source: RFC 2397; RFC 4648; wire notes 2.1.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from hoosh.dialects.sniffing import media_type_in
from hoosh.errors import InvalidRequest
from hoosh.values import DataSource, Source, UrlSource

__all__ = ["base64_of", "document_source", "url_source"]

MEDIA_TYPES = {"image/jpg": "image/jpeg", "image/x-png": "image/png"}
"""What people write, and what they mean."""

DOCUMENT_TYPES = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv"}
DOCUMENT_TYPES |= {"html": "text/html", "json": "application/json", "xml": "text/xml"}

_tidy = str.maketrans("-_", "+/", " \t\r\n=")


def url_source(url: str, path: str) -> Source:
    """What `url` names, or holds."""
    scheme = url[:8].lower()
    if scheme.startswith("data:"):
        return _data_source(url, path)
    if scheme.startswith(("http://", "https://")):
        return UrlSource(url)
    message = f"Invalid '{path}': expected a URL that begins with http:, https: or data:."
    raise InvalidRequest(message, param=path, code="invalid_value")


def document_source(data: str, filename: str | None, path: str) -> Source:
    """A document as base64, whose type is seen from its beginning or its name; or as a URL."""
    if data[:8].lower().startswith(("data:", "http://", "https://")):
        return url_source(data, path)
    ending = (filename or "").rpartition(".")[2].lower()
    base64 = base64_of(data, path)
    return DataSource(media_type_in(base64) or DOCUMENT_TYPES.get(ending, ""), base64)


def base64_of(text: str, path: str) -> str:
    """`text` as standard base64."""
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
