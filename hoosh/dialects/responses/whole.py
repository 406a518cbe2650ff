"""A whole response told as the stream it should have been, for an upstream that ignored `stream: true`.

    created, in_progress → each item: added, its parts as one delta each, done → completed | incomplete

Items of types that we know nothing of are added and done.  Source: wire notes 2.1, the order of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hoosh.dialects.loose_json import encode_safely

__all__ = ["stream_of"]

Told = tuple[str, dict[str, Any]]

TEXTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "output_text": ("response.output_text", "text", {"logprobs": []}),
    "refusal": ("response.refusal", "refusal", {}),
    "reasoning_text": ("response.reasoning_text", "text", {}),
}
"""Type of a part: its events, the name of its text, what else its deltas say."""


def stream_of(body: bytes, costs: Mapping[str, Any]) -> bytes:
    """The events of the response in `body`.  `costs`: what its usage says besides.  Raises msgspec.DecodeError when
    `body` is not a JSON object."""
    response: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    if costs:
        response["usage"] = {**response["usage"], **costs}
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    told: list[Told] = [(name, {"response": begun}) for name in ("response.created", "response.in_progress")]
    items = [item for item in response.get("output") or () if isinstance(item, dict)]
    for at, item in enumerate(items):
        told += _item(item, at)
    last = "response.incomplete" if response.get("status") == "incomplete" else "response.completed"
    told.append((last, {"response": response}))
    return b"".join([_frame(name, fields, number) for number, (name, fields) in enumerate(told)])


def _frame(name: str, fields: dict[str, Any], number: int) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (
        name.encode(),
        encode_safely({"type": name, **fields, "sequence_number": number}),
    )


def _item(item: dict[str, Any], at: int) -> Iterator[Told]:
    where = {"item_id": item.get("id"), "output_index": at}
    emptied = {name: _EMPTY.get(name, value) for name, value in item.items()}
    yield "response.output_item.added", {"output_index": at, "item": {**emptied, "status": "in_progress"}}
    for number, part in enumerate(_parts(item.get("summary"))):
        yield from _summary(part, {**where, "summary_index": number})
    for number, part in enumerate(_parts(item.get("content"))):
        yield from _part(part, {**where, "content_index": number})
    if item.get("type") == "function_call":
        arguments = str(item.get("arguments") or "")
        yield "response.function_call_arguments.delta", {**where, "delta": arguments}
        yield "response.function_call_arguments.done", {**where, "name": item.get("name"), "arguments": arguments}
    yield "response.output_item.done", {"output_index": at, "item": item}


_EMPTY: dict[str, Any] = {"content": [], "summary": [], "arguments": ""}


def _parts(parts: object) -> list[dict[str, Any]]:
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _summary(part: dict[str, Any], where: dict[str, Any]) -> Iterator[Told]:
    text = str(part.get("text") or "")
    yield "response.reasoning_summary_part.added", {**where, "part": {**part, "text": ""}}
    yield "response.reasoning_summary_text.delta", {**where, "delta": text}
    yield "response.reasoning_summary_text.done", {**where, "text": text}
    yield "response.reasoning_summary_part.done", {**where, "part": part}


def _part(part: dict[str, Any], where: dict[str, Any]) -> Iterator[Told]:
    events, field, more = TEXTS.get(str(part.get("type")), ("", "", {}))
    yield "response.content_part.added", {**where, "part": {**part, **({field: ""} if field else {})}}
    if events:
        text = str(part.get(field) or "")
        yield f"{events}.delta", {**where, **more, "delta": text}
        annotations = part.get("annotations")
        for number, annotation in enumerate(annotations if isinstance(annotations, list) else ()):
            yield (
                "response.output_text.annotation.added",
                {**where, "annotation_index": number, "annotation": annotation},
            )
        yield f"{events}.done", {**where, **more, field: text}
    yield "response.content_part.done", {**where, "part": part}
