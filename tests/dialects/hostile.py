"""Hostile JSON and hostile bytes, made of valid ones: what a fuzzer throws at a dialect.

    Fuzz.value(v)    v with something wrong in it: a type, a null, nesting, a number, a lone surrogate, a missing field
    Fuzz.frame(f)    a frame of a stream with such JSON, or with its bytes cut, flipped, doubled, framed otherwise
    Fuzz.wound(f)    a frame whose framing is right and whose data is no JSON

Everything hangs on one seed.
"""

from __future__ import annotations

import json
import random
from typing import Any

__all__ = ["Fuzz"]

DEEP = "@deep@"
"""Stands for nesting that Python's own writer could not write."""
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7.5, 2**31, 2**63, -(2**63) - 1, 2**64, 10**40, 1e308, -0.0),
    *(
        float("nan"),
        float("inf"),
        "",
        " ",
        "x",
        "0",
        "null",
        "\x00",
        "\u2028",
        "\ud800",
        "\udfff tail",
        "é" * 9,
        "a" * 3_000,
    ),
    *([], {}, [[]], [None], {"": None}, [[[[[{}]]]]], DEEP, {"type": "error", "message": 3}, {"error": {}}),
    *("stop", "error", "tool_use", "text", "STOP", "data:image/png;base64,AAAA", "call_1__sig_AA", "hoosh:x#d#y:z"),
)
NAMES = ("error", "type", "index", "choices", "delta", "message", "usage", "done", "text", "\ud800", "")


class Fuzz:
    def __init__(self, seed: int | str) -> None:
        self.dice = random.Random(seed)

    def value(self, value: Any) -> Any:
        """A copy with one thing changed, at any depth."""
        dice = self.dice
        if isinstance(value, dict) and value and dice.random() < 0.85:
            name = dice.choice(list(value))
            act = dice.random()
            if act < 0.08:
                return {other: inner for other, inner in value.items() if other != name}
            if act < 0.14:
                return {**value, dice.choice(NAMES): dice.choice(HOSTILE)}
            return {**value, name: self.value(value[name])}
        if isinstance(value, list) and value and dice.random() < 0.85:
            at = dice.randrange(len(value))
            act = dice.random()
            if act < 0.1:
                return value + value[at:]
            return [*value[:at], self.value(value[at]), *value[at + 1 :]]
        if type(value) is int and dice.random() < 0.4:
            return value + dice.choice((-1, 1, 2, 1000))
        return dice.choice(HOSTILE)

    def text(self, value: Any) -> bytes:
        """JSON, or nearly: NaN and lone surrogates pass, as many servers write them."""
        if isinstance(value, dict) and self.dice.random() < 0.2:
            items = list(value.items())
            self.dice.shuffle(items)
            value = dict(items)
        text = json.dumps(value, ensure_ascii=self.dice.random() < 0.7, separators=self.dice.choice([None, (",", ":")]))
        depth = self.dice.choice((50, 3_000))
        return text.encode("utf-8", "surrogatepass").replace(b'"@deep@"', b"[" * depth + b"]" * depth)

    def changed(self, value: Any) -> bytes:
        for _ in range(self.dice.choice((1, 1, 1, 2, 5))):
            value = self.value(value)
        return self.text(value)

    def bytes(self, data: bytes) -> bytes:
        """A few bytes of it changed, cut, doubled or put in."""
        dice = self.dice
        broken = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 4))):
            at = dice.randrange(len(broken) or 1)
            match dice.randrange(4):
                case 0:
                    broken[at : at + 1] = bytes([dice.randrange(256)])
                case 1:
                    del broken[at : at + dice.choice((1, 2, 30))]
                case 2:
                    broken[at:at] = dice.choice(
                        (b"\n", b"\r", b"\n\n", b'"', b"\\", b"{", b"}", b"\x00", b"\xff\xfe", b"data:")
                    )
                case _:
                    broken[at:at] = broken[at : at + dice.choice((1, 3, 40))]
        return bytes(broken)

    # -- frames of a stream --------------------------------------------------------------------------------------

    def frame(self, frame: bytes) -> bytes:
        dice = self.dice
        if dice.random() < 0.2:
            return self.bytes(frame)
        head, data, tail = parts_of(frame)
        try:
            data = self.changed(json.loads(data))
        except ValueError:  # a terminator
            data = self.bytes(data)
        return self._framed(head, data, tail) if dice.random() < 0.15 else head + data + tail

    def _framed(self, head: bytes, data: bytes, tail: bytes) -> bytes:
        """Framed in another way, right or wrong."""
        if not head:  # a line
            return self.dice.choice((data, data + b"\r\n", b"\n" + data + tail, b" " + data + b" \n", data * 2 + tail))
        middle = len(data) // 2
        ways = (
            (head + data + tail).replace(b"\n", b"\r\n"),
            (head + data + tail).replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
            head.replace(b"data: ", b"data:") + data + tail,
            head + data,
            head + data + tail[:1],
            b": a comment\n" + head + data + tail,
            b"id: 1\nretry: 5\n" + head + data + tail,
            b"event: error\n" + head + data + tail,
            head + data[:middle] + b"\ndata: " + data[middle:] + tail,
            b"data: " + data + tail,
            b"\xef\xbb\xbf" + head + data + tail,
            data + tail,
        )
        return self.dice.choice(ways)

    def wound(self, frame: bytes) -> bytes:
        """Framed as it was, and no JSON any more."""
        head, data, tail = parts_of(frame)
        while True:
            at = self.dice.randrange(1, len(data))
            broken = self.dice.choice(
                (
                    data[:at],
                    data[:at] + b"\x00" + data[at:],
                    data[1:],
                    b"<html>",
                    data + b"}",
                    data[:-1],
                    data.replace(b":", b"", 1),
                )
            )
            if not _is_json(broken):
                return head + broken + tail


def parts_of(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the JSON, the JSON, and what ends the frame."""
    data = frame.rstrip(b"\r\n")
    start = data.find(b"data: ") + 6 if b"data: " in data else 0
    return frame[:start], data[start:], frame[len(data) :]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
