"""What the document says of one route, as a value."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from hoosh.api.openapi.schemas import Schema

__all__ = [
    "BINARY",
    "JSON",
    "Content",
    "Language",
    "Parameter",
    "Route",
    "Scope",
    "header",
    "in_path",
    "number",
    "word",
]

Language = Literal["openai", "anthropic", "ollama"]
"""In which shape errors are told."""
Scope = Literal["inference", "admin", "metrics", "any", "open"]
"""What a key must have; `any`: a key, whatever it may do; `open`: none is asked for."""

JSON = "application/json"
BINARY: Schema = {"type": "string", "format": "binary"}

Content = tuple[str, Any]
"""A media type, and what it holds: a struct, or a schema as it is."""


class Parameter(Struct, frozen=True):
    name: str
    note: str
    where: Literal["query", "path", "header"] = "query"
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    required: bool = False


class Route(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    name: str
    """Its `operationId`."""
    tag: str
    summary: str
    answers: tuple[Content, ...]
    """Of a 200."""
    scope: Scope = "inference"
    language: Language = "openai"
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Content, ...] = ()
    body_required: bool = True
    refusals: tuple[int, ...] = ()
    """Error statuses beside those that every route may answer with."""
    hot: bool = False
    """Inference: answered without Quart, and an upstream's verdict on the request may be passed on."""
    example: Any = None
    """Of an answer."""
    sent: Any = None
    """An example of a body."""


def word(name: str, note: str, *words: str) -> Parameter:
    """A text in the query; one of `words`, if any are given."""
    return Parameter(name, note, schema={"type": "string", "enum": list(words)} if words else {"type": "string"})


def number(name: str, note: str, least: int = 0, most: int | None = None) -> Parameter:
    bounds: Schema = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return Parameter(name, note, schema={"type": "integer", **bounds})


def in_path(name: str, note: str) -> Parameter:
    return Parameter(name, note, where="path", required=True)


def header(name: str, note: str, schema: Schema | None = None) -> Parameter:
    return Parameter(name, note, where="header", schema=schema or {"type": "string"})
