"""SafeTensors: eight bytes of length, and so much JSON: {"name": {"dtype", "shape", "data_offsets"}, "__metadata__"}.

Source: huggingface/safetensors, README, "Format", with its limit of 100 MiB for a header.  Of a header larger than may
be read here only the format is told.
"""

from __future__ import annotations

from collections import Counter
from struct import Struct as Packed
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from hoosh.hardware.formats.window import MAX_NUMBER, CutShort, Window
from hoosh.values.placement import ModelFormat

__all__ = ["read_safetensors"]

MAX_LENGTH = 100 * 1024 * 1024
MAX_READ_BYTES = 2 * 1024 * 1024
"""Some twenty thousand tensors.  It is decoded in one go, while which nothing else runs."""
_LENGTH = Packed("<Q")

_Size = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


class _Tensor(Struct):
    dtype: Annotated[str, Meta(max_length=32)]
    shape: Annotated[list[_Size], Meta(max_length=16)]


_header = msgspec.json.Decoder(dict[str, Raw])
_tensor = msgspec.json.Decoder(_Tensor)


def read_safetensors(window: Window) -> ModelFormat | None:
    """None where it is none.  Raises CutShort where not even the first letter of the JSON is there."""
    length = window.unpack(_LENGTH)
    if not 2 <= length <= MAX_LENGTH:
        return None
    first = window.take(1)
    if first != b"{":
        return None
    try:
        if length > MAX_READ_BYTES:
            raise CutShort
        header = first + window.take(length - 1)
    except CutShort:
        return ModelFormat(format="SafeTensors")
    return _told(header)


def _told(header: bytes) -> ModelFormat | None:
    try:
        tensors = [_tensor.decode(raw) for name, raw in _header.decode(header).items() if name != "__metadata__"]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    of_type: Counter[str] = Counter()
    for tensor in tensors:
        size = 1
        for dimension in tensor.shape:
            size *= dimension
        of_type[tensor.dtype] += size
    dtype = of_type.most_common(1)[0][0] if of_type else None
    total = of_type.total()
    return ModelFormat(
        format="SafeTensors",
        tensor_count=len(tensors),
        param_count=total if total <= MAX_NUMBER else None,
        dtype=dtype if dtype is None or dtype.isprintable() else None,
    )
