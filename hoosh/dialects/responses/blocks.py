"""The output items of a response in the making.  Each knows its events; the encoder numbers and writes them.

    opening   response.output_item.added, and its part's beginning
    delta     around a piece: `lead`, the piece as a JSON string, `tail`, the sequence number
    ending    the part's end, response.output_item.done
    item      the whole, as `output` and the store hold it

Thoughts are told as summaries, not as `reasoning_text`: what most providers show *is* a summary, and more clients know
that event (OpenAI's models show nothing else).

Source: wire notes 2.1; `openai-openapi.trimmed.json`, schemas OutputItem and ResponseStreamEvent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from hoosh.dialects.loose_json import encode_safely
from hoosh.values import Annotation

__all__ = ["Block", "CallBlock", "ImageBlock", "RefusalBlock", "TextBlock", "ThoughtBlock"]

Told = tuple[str, dict[str, Any]]
"""An event's type, and its fields but `type` and `sequence_number`."""


class Block:
    """An item at place `at` of the output.  `pieces` are its deltas."""

    __slots__ = ("at", "id", "lead", "pieces", "tail")

    delta: ClassVar[str] = ""
    inner: ClassVar[dict[str, Any]] = {}
    """What a delta says besides its item."""

    def __init__(self, at: int, identity: str) -> None:
        self.at = at
        self.id = identity
        self.pieces: list[str] = []
        name = self.delta.encode()
        inner = encode_safely({"item_id": identity, "output_index": at, **self.inner})
        self.lead = b'event: %b\ndata: {"type":"%b","delta":' % (name, name)
        self.tail = b"," + inner[1:-1] + b',"sequence_number":'

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def opening(self) -> Iterator[Told]:
        yield "response.output_item.added", self._placed({"item": self.item("in_progress", is_begun=True)})

    def ending(self, status: str) -> Iterator[Told]:
        yield "response.output_item.done", self._placed({"item": self.item(status)})

    def item(self, status: str, *, is_begun: bool = False) -> dict[str, Any]:
        raise NotImplementedError

    def _placed(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"output_index": self.at, **fields}

    def _inside(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.at, **fields}


class _MessageBlock(Block):
    """A message with one part."""

    __slots__ = ()

    def part(self, text: str) -> dict[str, Any]:
        raise NotImplementedError

    def done(self) -> Told:
        raise NotImplementedError

    def opening(self) -> Iterator[Told]:
        yield from super().opening()
        yield "response.content_part.added", self._inside({"content_index": 0, "part": self.part("")})

    def ending(self, status: str) -> Iterator[Told]:
        yield self.done()
        yield "response.content_part.done", self._inside({"content_index": 0, "part": self.part(self.text)})
        yield from super().ending(status)

    def item(self, status: str, *, is_begun: bool = False) -> dict[str, Any]:
        content = [] if is_begun else [self.part(self.text)]
        return {"id": self.id, "type": "message", "status": status, "content": content, "role": "assistant"}


class TextBlock(_MessageBlock):
    """`before` counts the characters of the text blocks before it: citations count over the whole answer."""

    __slots__ = ("annotations", "before")

    delta = "response.output_text.delta"
    inner: ClassVar[dict[str, Any]] = {"content_index": 0, "logprobs": []}

    def __init__(self, at: int, identity: str, before: int = 0) -> None:
        super().__init__(at, identity)
        self.annotations: list[dict[str, Any]] = []
        self.before = before

    def part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "annotations": list(self.annotations), "logprobs": [], "text": text}

    def done(self) -> Told:
        return "response.output_text.done", self._inside({"content_index": 0, "text": self.text, "logprobs": []})

    def annotate(self, annotation: Annotation) -> Told:
        """Where the provider says no place, it is the end of the text so far."""
        end = sum(map(len, self.pieces)) if annotation.end is None else max(0, annotation.end - self.before)
        start = end if annotation.start is None else max(0, annotation.start - self.before)
        fields = {"url": annotation.url, "title": annotation.title, "start_index": start, "end_index": end}
        self.annotations.append({"type": "url_citation", **fields})
        place = {"content_index": 0, "annotation_index": len(self.annotations) - 1}
        return "response.output_text.annotation.added", self._inside({**place, "annotation": self.annotations[-1]})


class RefusalBlock(_MessageBlock):
    __slots__ = ()

    delta = "response.refusal.delta"
    inner: ClassVar[dict[str, Any]] = {"content_index": 0}

    def part(self, text: str) -> dict[str, Any]:
        return {"type": "refusal", "refusal": text}

    def done(self) -> Told:
        return "response.refusal.done", self._inside({"content_index": 0, "refusal": self.text})


class ThoughtBlock(Block):
    """`is_shown`: it has text, so its summary has a part.  `sealed` is its `encrypted_content`."""

    __slots__ = ("is_shown", "sealed")

    delta = "response.reasoning_summary_text.delta"
    inner: ClassVar[dict[str, Any]] = {"summary_index": 0}

    def __init__(self, at: int, identity: str, *, is_shown: bool, sealed: str | None = None) -> None:
        super().__init__(at, identity)
        self.is_shown = is_shown
        self.sealed = sealed

    def opening(self) -> Iterator[Told]:
        yield from super().opening()
        if self.is_shown:
            yield "response.reasoning_summary_part.added", self._part("")

    def ending(self, status: str) -> Iterator[Told]:
        if self.is_shown:
            text = self._inside({"summary_index": 0, "text": self.text})
            yield "response.reasoning_summary_text.done", text
            yield "response.reasoning_summary_part.done", self._part(self.text)
        yield from super().ending(status)

    def _part(self, text: str) -> dict[str, Any]:
        return self._inside({"summary_index": 0, "part": {"type": "summary_text", "text": text}})

    def item(self, status: str, *, is_begun: bool = False) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": self.text}] if self.is_shown and not is_begun else []
        item: dict[str, Any] = {"id": self.id, "type": "reasoning", "status": status, "summary": summary}
        if self.sealed is not None:
            item["encrypted_content"] = self.sealed
        return item


class CallBlock(Block):
    __slots__ = ("call_id", "name")

    delta = "response.function_call_arguments.delta"

    def __init__(self, at: int, identity: str, call_id: str, name: str) -> None:
        super().__init__(at, identity)
        self.call_id = call_id
        self.name = name

    def ending(self, status: str) -> Iterator[Told]:
        arguments = self._inside({"name": self.name, "arguments": self.text})
        yield "response.function_call_arguments.done", arguments
        yield from super().ending(status)

    def item(self, status: str, *, is_begun: bool = False) -> dict[str, Any]:
        said = {"arguments": self.text, "call_id": self.call_id, "name": self.name}
        return {"id": self.id, "type": "function_call", "status": status, **said}


class ImageBlock(Block):
    """An image comes whole: an `image_generation_call`, though nobody called."""

    __slots__ = ("base64",)

    def __init__(self, at: int, identity: str, base64: str) -> None:
        super().__init__(at, identity)
        self.base64 = base64

    def item(self, status: str, *, is_begun: bool = False) -> dict[str, Any]:
        result = None if is_begun else self.base64
        return {"id": self.id, "type": "image_generation_call", "status": status, "result": result}
