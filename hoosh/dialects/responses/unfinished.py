"""An output item that an upstream's stream is telling: its parts, the texts that have grown, and how it is ended early.

    added ──▶ part added ──▶ delta* ──▶ text done ──▶ part done ──▶ item done

Wherever that stands, `closing` tells the rest of it.  An item without parts (a call) has its text in itself.

Source: wire notes 2.1; `openai-openapi.trimmed.json`, schemas OutputItem and ResponseStreamEvent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["PARTS", "TEXTS", "Place", "Told", "UnfinishedItem"]

Told = tuple[str, dict[str, Any]]
"""An event's type, and its fields but `type` and `sequence_number`."""
Place = tuple[str, int]
"""A list of an item's parts and which of them; ("", 0) is the item itself."""

TEXTS = {
    "response.output_text": ("content", "text"),
    "response.refusal": ("content", "refusal"),
    "response.reasoning_text": ("content", "text"),
    "response.reasoning_summary_text": ("summary", "text"),
    "response.function_call_arguments": ("", "arguments"),
    "response.mcp_call_arguments": ("", "arguments"),
    "response.custom_tool_call_input": ("", "input"),
    "response.code_interpreter_call_code": ("", "code"),
}
"""The events of a text: which list its part is in ("" for the item itself), and what it is called there."""
PARTS = {"response.content_part": "content", "response.reasoning_summary_part": "summary"}
NUMBER = {"content": "content_index", "summary": "summary_index"}


class UnfinishedItem:
    """`fields` are the item's own; after `closing` the whole of it."""

    __slots__ = ("_at", "_done", "_parts", "_texts", "fields", "is_open")

    def __init__(self, at: int, fields: dict[str, Any], *, is_open: bool = True) -> None:
        self.fields = fields
        self.is_open = is_open
        self._at = at
        self._parts: dict[Place, dict[str, Any]] = {}  # those that have begun and are not done
        self._texts: dict[tuple[str, Place], list[str]] = {}  # by their events
        self._done: set[tuple[str, Place]] = set()

    def grow(self, stem: str, place: Place, text: str) -> list[str]:
        """The list that further pieces of the same text belong to."""
        pieces = self._texts.setdefault((stem, place), [])
        pieces.append(text)
        return pieces

    def end_text(self, stem: str, place: Place, text: object) -> None:
        self._done.add((stem, place))
        if isinstance(text, str):
            self._texts[stem, place] = [text]

    def add_part(self, place: Place, part: dict[str, Any]) -> None:
        self._parts[place] = part

    def end_part(self, place: Place, part: dict[str, Any]) -> None:
        self._parts.pop(place, None)
        told = self.fields.get(place[0])
        parts = self.fields[place[0]] = told if isinstance(told, list) else []
        if place[1] < len(parts):
            parts[place[1]] = part
        else:
            parts.append(part)

    def annotate(self, place: Place, note: object) -> None:
        part = self._parts.get(place, {})
        part["annotations"] = [*(part.get("annotations") or ()), note]

    def closing(self) -> Iterator[Told]:
        fields = self.fields
        where = {"item_id": fields.get("id"), "output_index": self._at}
        for place, part in sorted(self._parts.items(), key=lambda begun: begun[0]):
            yield from self._closing_part(place, part, {**where, NUMBER[place[0]]: place[1]})
        for stem, place in self._texts:
            if not place[0]:
                yield from self._closing_text(stem, place, fields, where)
        if "status" in fields:
            fields["status"] = "incomplete"
        yield "response.output_item.done", {"output_index": self._at, "item": fields}

    def _closing_part(self, place: Place, part: dict[str, Any], where: dict[str, Any]) -> Iterator[Told]:
        for stem, told in self._texts:
            if told == place:
                yield from self._closing_text(stem, place, part, where)
        self.end_part(place, part)
        event = "response.content_part.done" if place[0] == "content" else "response.reasoning_summary_part.done"
        yield event, {**where, "part": part}

    def _closing_text(self, stem: str, place: Place, holder: dict[str, Any], where: dict[str, Any]) -> Iterator[Told]:
        """`holder` is the part or item that the text is in."""
        name = TEXTS[stem][1]
        text = holder[name] = "".join(self._texts[stem, place])
        if (stem, place) not in self._done:
            more: dict[str, Any] = {"logprobs": []} if stem == "response.output_text" else {}
            if stem == "response.function_call_arguments" and "name" in holder:
                more["name"] = holder["name"]
            yield f"{stem}.done", {**where, name: text, **more}
