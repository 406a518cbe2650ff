"""What kind of model file is this, and what does its header say?  Nothing in a file is believed, run or unpickled.

    SafeTensors   a length, then that much JSON
    GGUF          `GGUF`, then typed metadata and a list of tensors
    ONNX          a protobuf that begins with its IR version
    PyTorch       a ZIP archive of `torch.save`, or its older pickle: recognised, and not looked into

A header may be cut short, by its end or by a limit: then what it had said until there is told.  A file that is none of
these raises NotAModel, and nothing ever raises anything else.

Source: reference section 11.8, which reads 16 KiB at most; here it is as much as a header needs, up to a limit.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from msgspec.structs import replace

from hoosh.hardware.formats.gguf import read_gguf
from hoosh.hardware.formats.onnx import read_onnx
from hoosh.hardware.formats.pytorch import read_pytorch
from hoosh.hardware.formats.safetensors import read_safetensors
from hoosh.hardware.formats.window import CutShort, NotAModel, Window
from hoosh.values.placement import ModelFormat

__all__ = ["EXTENSIONS", "NotAModel", "format_of", "format_of_bytes"]

EXTENSIONS = frozenset({"safetensors", "gguf", "onnx", "pt", "pth", "bin", "model"})
"""Of files that may be models."""
READERS = (read_safetensors, read_gguf, read_onnx, read_pytorch)


def format_of(file: BinaryIO) -> ModelFormat:
    """What `file` is, which must be seekable.  Blocks.  Raises NotAModel, and OSError where it cannot be read."""
    for read in READERS:
        file.seek(0)
        try:
            found = read(Window(file))
        except CutShort:
            continue
        if found is not None:
            return replace(found, file_bytes=file.seek(0, io.SEEK_END))
    raise NotAModel


def format_of_bytes(data: bytes) -> ModelFormat:
    """The same of a file, or of its first part.  Raises NotAModel."""
    return replace(format_of(io.BytesIO(data)), file_bytes=None)
