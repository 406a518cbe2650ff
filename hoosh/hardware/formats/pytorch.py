"""PyTorch: what `torch.save` writes, told from other archives by the name of the first file in it.

A checkpoint is a pickle, that is a program: it is never run here, and so nothing is told of what is in it.

Sources: PyTorch, torch/serialization.py (`_save`: `data.pkl` comes first, `MAGIC_NUMBER` of the older format);
PKWARE, APPNOTE.TXT, section 4.3.7.
"""

from __future__ import annotations

from struct import Struct as Packed

from hoosh.hardware.formats.window import CutShort, Window
from hoosh.values.placement import ModelFormat

__all__ = ["read_pytorch"]

ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
MAX_NAME_BYTES = 4096
_NAME_LENGTH = Packed("<H")
_FIRST = ("data.pkl", "constants.pkl", "version", "byteorder", ".format_version", ".storage_alignment")
"""Behind the archive's own name."""


def read_pytorch(window: Window) -> ModelFormat | None:
    """None where it is none.  Raises CutShort where it is shorter than a mark."""
    mark = window.take(4)
    if mark == ZIP:
        name = _first_name(window)
        is_known = not name or (name.rpartition("/")[2] in _FIRST) or "/code/" in name
        return ModelFormat(format="PyTorch") if is_known else None
    if mark == LEGACY[:4] and mark + window.take(len(LEGACY) - 4) == LEGACY:
        return ModelFormat(format="PyTorch")
    return None


def _first_name(window: Window) -> str:
    """Of the first file in the archive; "" where it cannot be read."""
    try:
        window.skip(22)
        length = window.unpack(_NAME_LENGTH)
        window.skip(2)
        return window.take(min(length, MAX_NAME_BYTES)).decode("utf-8", "replace")
    except CutShort:
        return ""
