"""ONNX: a protobuf message, of which three kinds are looked into, each at its own depth, and nothing recurses.

    ModelProto    1 ir_version   7 graph
    GraphProto    5 initializer, many times: the weights
    TensorProto   1 dims (one by one or packed)   2 data_type

Weights themselves are passed over, and in large models are in other files.  A graph that is cut short tells no numbers.

Sources: onnx/onnx, onnx/onnx.proto; protobuf's encoding guide.
"""

from __future__ import annotations

from collections import Counter

from hoosh.hardware.formats.window import MAX_NUMBER, CutShort, Window
from hoosh.values.placement import ModelFormat

__all__ = ["read_onnx"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MODEL_FIELDS = {2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES}
MODEL_FIELDS |= dict.fromkeys((14, 20, 25, 26), BYTES)
MAX_IR_VERSION = 20
MAX_FIELDS = 200_000
"""In all: nodes, weights and the rest.  The largest graphs have some ten thousand nodes."""
MAX_DIMENSIONS = 16
TYPES = {
    1: "F32",
    2: "U8",
    3: "I8",
    4: "U16",
    5: "I16",
    6: "I32",
    7: "I64",
    9: "BOOL",
    10: "F16",
    11: "F64",
    12: "U32",
    13: "U64",
    16: "BF16",
    17: "F8_E4M3",
    18: "F8_E4M3",
    19: "F8_E5M2",
    20: "F8_E5M2",
    21: "U4",
    22: "I4",
    23: "F4",
}


def read_onnx(window: Window) -> ModelFormat | None:
    """None where it is none.  Raises CutShort where it ends before its second field."""
    if window.take(1) != b"\x08":
        return None
    version = _varint(window)
    if not 1 <= version <= MAX_IR_VERSION:
        return None
    field, wire = _tag(window)
    if MODEL_FIELDS.get(field) != wire:
        return None
    return _Walk(window).told(version, field, wire)


class _Walk:
    def __init__(self, window: Window) -> None:
        self._window = window
        self._fields_left = MAX_FIELDS
        self._of_type: Counter[int] = Counter()
        self._count = 0

    def told(self, version: int, field: int, wire: int) -> ModelFormat:
        try:
            has_graph = self._model(field, wire)
        except CutShort:
            has_graph = False
        total = self._of_type.total()
        if not has_graph or total > MAX_NUMBER:
            return ModelFormat(format="ONNX", format_version=version)
        dtype = TYPES.get(self._of_type.most_common(1)[0][0]) if self._of_type else None
        return ModelFormat(
            format="ONNX", format_version=version, tensor_count=self._count, param_count=total, dtype=dtype
        )

    def _model(self, field: int, wire: int) -> bool:
        """Whether a whole graph was found."""
        while field != 7:
            self._pass(wire)
            field, wire = self._next()
        if wire != BYTES:
            return False
        self._graph(self._end())
        return True

    def _graph(self, end: int) -> None:
        while self._window.position < end:
            field, wire = self._next()
            if field == 5 and wire == BYTES:
                self._tensor(self._end(end))
                self._count += 1
            else:
                self._pass(wire)
        if self._window.position > end:
            raise CutShort

    def _tensor(self, end: int) -> None:
        size, kind, rank = 1, 0, 0
        while self._window.position < end:
            field, wire = self._next()
            if field == 1 and wire == BYTES:
                stop = self._end(end)
                while self._window.position < stop:
                    size, rank = size * _varint(self._window), rank + 1
                    self._check(size, rank)
            elif field == 1 and wire == VARINT:
                size, rank = size * _varint(self._window), rank + 1
                self._check(size, rank)
            elif field == 2 and wire == VARINT:
                kind = _varint(self._window)
            else:
                self._pass(wire)
        self._of_type[kind] += size

    def _check(self, size: int, rank: int) -> None:
        if rank > MAX_DIMENSIONS or size > MAX_NUMBER:
            raise CutShort

    def _next(self) -> tuple[int, int]:
        self._fields_left -= 1
        if self._fields_left < 0:
            raise CutShort
        return _tag(self._window)

    def _end(self, within: int | None = None) -> int:
        """Where the message ends whose length comes next; not behind the one that it is in."""
        length = _varint(self._window)
        end = self._window.position + length
        if within is not None and end > within:
            raise CutShort
        return end

    def _pass(self, wire: int) -> None:
        if wire == VARINT:
            _varint(self._window)
        elif wire == BYTES:
            self._window.skip(_varint(self._window))
        elif wire in (FIXED64, FIXED32):
            self._window.skip(8 if wire == FIXED64 else 4)
        else:
            raise CutShort


def _tag(window: Window) -> tuple[int, int]:
    tag = _varint(window)
    return tag >> 3, tag & 7


def _varint(window: Window) -> int:
    """Up to ten bytes, the lowest first.  Raises CutShort."""
    value = 0
    for shift in range(0, 70, 7):
        byte = window.take(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise CutShort
