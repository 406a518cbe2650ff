"""A call whose arguments come piece by piece, put together.

    functionCall {name, willContinue: true}                                              opens it
    functionCall {partialArgs: [{jsonPath, stringValue, willContinue}], willContinue}    adds to it; a string grows
    functionCall {partialArgs: […]} or {}                                                ends it: nothing will follow

Only Vertex AI does so, and only where `streamFunctionCallArguments` is asked for, which hoosh never does; a proxy may.
Some servers forget the end: the next call, or the finish reason, is one too.

Source: cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling; googleapis.github.io/js-genai
(PartialArg); RFC 9535 (normalized paths).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Raw, Struct

__all__ = ["PartialArg", "PartialCall"]

STEPS_MAX = 64

_step = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_escaped = re.compile(r"\\(.)")

NOTHING = Raw(b"")


class PartialArg(Struct, gc=False):
    jsonPath: str
    stringValue: str | None = None
    numberValue: Raw = NOTHING
    boolValue: bool | None = None
    willContinue: bool | None = None


class _Text:
    """A string that grows: joined once."""

    __slots__ = ("pieces",)

    def __init__(self, piece: str) -> None:
        self.pieces = [piece]


class PartialCall:
    """The arguments of one call so far.  `add` raises ValueError for a path that leads nowhere."""

    __slots__ = ("_arguments", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self._arguments: dict[str, Any] = {}

    def add(self, arg: PartialArg) -> None:
        steps = _steps(arg.jsonPath)
        holder: Any = self._arguments
        for step, following in pairwise(steps):
            holder = _entered(holder, step, [] if isinstance(following, int) else {})
        last = _entered(holder, steps[-1], None)
        if isinstance(last, _Text) and arg.stringValue is not None:
            last.pieces.append(arg.stringValue)
        else:
            holder[steps[-1]] = _value(arg)

    def json(self) -> str:
        return msgspec.json.encode(self._arguments, enc_hook=_joined).decode()


def _value(arg: PartialArg) -> Any:
    if arg.stringValue is not None:
        return _Text(arg.stringValue)
    return arg.numberValue if len(arg.numberValue) else arg.boolValue


def _joined(value: object) -> str:
    assert isinstance(value, _Text)
    return "".join(value.pieces)


def _steps(path: str) -> list[str | int]:
    """The names and positions of `$.a[0]['b']`."""
    steps: list[str | int] = []
    at = 1
    while at < len(path) and len(steps) < STEPS_MAX:
        found = _step.match(path, at)
        if found is None:
            break
        name, position, *quoted = found.groups()
        text = next((text for text in quoted if text is not None), None)
        steps.append(int(position) if position else _escaped.sub(r"\1", text) if text is not None else name)
        at = found.end()
    if not steps or at != len(path) or path[0] != "$":
        raise ValueError(path)
    return steps


def _entered(holder: Any, step: str | int, empty: Any) -> Any:
    """What is at `step`, made where it is not there yet.  Lists grow by one."""
    if isinstance(holder, list) and isinstance(step, int) and step <= len(holder):
        if step == len(holder):
            holder.append(empty)
        return holder[step]
    if isinstance(holder, dict) and isinstance(step, str):
        return holder.setdefault(step, empty)
    raise ValueError(step)
