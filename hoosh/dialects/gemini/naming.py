"""What a Gemini model's name says: its place in a path, and the generation it belongs to.

A name is what the router knows it by (`gemini-2.5-flash`) or the resource itself (`models/…`, `tunedModels/…`).  Only
the collection is read; the rest is one quoted segment, so that no name can lead to another path.

Source: ai.google.dev/api/generate-content (path parameters), ai.google.dev/gemini-api/docs/models.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from hoosh.errors import InvalidRequest

__all__ = ["NEWEST", "generation", "is_pro", "method_path", "plain_id", "resource"]

NEWEST = 3.0
COLLECTIONS = ("models/", "tunedModels/")

_number = re.compile(r"gemini-(\d{1,2}(?:\.\d{1,2})?)(?![\d.])")


def resource(model: str) -> str:
    """The full name: `models/gemini-2.5-flash`."""
    return model if model.startswith(COLLECTIONS) else f"models/{model}"


def plain_id(name: str) -> str:
    """The id that clients use: without `models/`, which says nothing; `tunedModels/` says something."""
    return name.removeprefix("models/")


def method_path(model: str, method: str) -> str:
    """`/v1beta/models/…:generateContent`.  Raises InvalidRequest for a name that is not Unicode."""
    collection, _, name = resource(model).partition("/")
    try:
        return f"/v1beta/{collection}/{quote(name, safe='')}:{method}"
    except UnicodeEncodeError:
        raise InvalidRequest("The model's name is not valid Unicode.", param="model") from None


def generation(model: str) -> float:
    """2.5 of `gemini-2.5-flash`.  An alias without a number (`gemini-flash-latest`) is of the newest generation; what
    is no Gemini at all (Gemma, tuned models) can do what 1.x could."""
    found = _number.search(model)
    if found is not None:
        return float(found[1])
    return NEWEST if plain_id(model).startswith("gemini-") else 1.0


def is_pro(model: str) -> bool:
    return "-pro" in model
