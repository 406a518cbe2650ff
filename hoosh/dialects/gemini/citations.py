"""Google's two ways to name sources, as Annotations.

    groundingMetadata   groundingChunks[{web | maps | retrievedContext: {uri, title}}] and groundingSupports[{segment,
                        groundingChunkIndices}]: which chunk bears out which words
    citationMetadata    citationSources (or `citations`) [{startIndex, endIndex, uri, title}]

Offsets come in UTF-8 bytes of the text so far, and leave in characters.  A chunk without an address (a file of a file
search) is no annotation that a client could show.

Source: ai.google.dev/api/generate-content (GroundingMetadata, Segment, CitationMetadata).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hoosh.values import Annotation

__all__ = ["citations", "groundings"]

ANNOTATIONS_MAX = 500
CHUNK_KINDS = ("web", "maps", "retrievedContext")


class _Text:
    """Byte offsets of a text as character offsets."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode("utf-8", "replace")
        self._plain = len(self._bytes) == len(text)

    def at(self, offset: object) -> int | None:
        if type(offset) is not int or not 0 <= offset <= len(self._bytes):
            return None
        return offset if self._plain else len(self._bytes[:offset].decode("utf-8", "ignore"))


def groundings(metadata: object, text: str) -> list[Annotation]:
    """Supported words first, then the sources that are named without any."""
    chunks = [_source(chunk) for chunk in _list(metadata, "groundingChunks")[:ANNOTATIONS_MAX]]
    used: set[int] = set()
    found = list(_supported(_list(metadata, "groundingSupports"), chunks, _Text(text), used))
    found += [chunk for number, chunk in enumerate(chunks) if chunk is not None and number not in used]
    return found[:ANNOTATIONS_MAX]


def _supported(
    supports: list[Any], chunks: list[Annotation | None], text: _Text, used: set[int]
) -> Iterator[Annotation]:
    for support in supports[:ANNOTATIONS_MAX]:
        segment = _dict(support, "segment")
        whole = not segment.get("partIndex")  # offsets of a later part would need to know where that began
        start, end = (
            (text.at(segment.get("startIndex", 0)), text.at(segment.get("endIndex"))) if whole else (None, None)
        )
        for number in _list(support, "groundingChunkIndices")[:ANNOTATIONS_MAX]:
            if type(number) is int and 0 <= number < len(chunks) and (chunk := chunks[number]) is not None:
                used.add(number)
                yield Annotation(chunk.url, chunk.title, start if end is not None else None, end, chunk.cited)


def citations(metadata: object, text: str) -> list[Annotation]:
    sources = _list(metadata, "citationSources") or _list(metadata, "citations")
    offsets = _Text(text)
    found = []
    for source in sources[:ANNOTATIONS_MAX]:
        fields = source if isinstance(source, dict) else {}
        if url := _str(fields.get("uri")):
            end = offsets.at(fields.get("endIndex"))
            start = offsets.at(fields.get("startIndex", 0)) if end is not None else None
            found.append(Annotation(url, _str(fields.get("title")), start, end))
    return found


def _source(chunk: object) -> Annotation | None:
    for kind in CHUNK_KINDS:
        fields = _dict(chunk, kind)
        if url := _str(fields.get("uri")):
            return Annotation(url, _str(fields.get("title")), cited=_str(fields.get("text")))
    return None


def _dict(value: object, name: str) -> dict[str, Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _list(value: object, name: str) -> list[Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, list) else []


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
