"""Model files that tests write: as their makers do, and otherwise."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

U32, STRING, ARRAY, U64 = 4, 8, 9, 10


class Gguf:
    """A GGUF file: entries of metadata, then tensors, no weights."""

    def __init__(self, version: int = 3, order: str = "<") -> None:
        self.version, self.order = version, order
        self.entries: list[bytes] = []
        self.tensors: list[bytes] = []
        self.said_tensors: int | None = None
        """In place of how many there are."""
        self.said_entries: int | None = None

    def pack(self, kind: str, *values: int | float) -> bytes:
        return struct.pack(self.order + kind, *values)

    def count(self, number: int) -> bytes:
        return self.pack("I" if self.version == 1 else "Q", number)

    def text(self, text: str) -> bytes:
        raw = text.encode()
        return self.count(len(raw)) + raw

    def number(self, name: str, value: int, kind: str = "I", code: int = U32) -> Gguf:
        self.entries.append(self.text(name) + self.pack("I", code) + self.pack(kind, value))
        return self

    def word(self, name: str, value: str) -> Gguf:
        self.entries.append(self.text(name) + self.pack("I", STRING) + self.text(value))
        return self

    def words(self, name: str, values: Sequence[str]) -> Gguf:
        head = self.text(name) + self.pack("I", ARRAY) + self.pack("I", STRING) + self.count(len(values))
        self.entries.append(head + b"".join(map(self.text, values)))
        return self

    def numbers(self, name: str, values: Sequence[int]) -> Gguf:
        head = self.text(name) + self.pack("I", ARRAY) + self.pack("I", U32) + self.count(len(values))
        self.entries.append(head + self.pack(f"{len(values)}I", *values))
        return self

    def raw(self, entry: bytes) -> Gguf:
        self.entries.append(entry)
        return self

    def tensor(self, name: str, *shape: int, kind: int = 12) -> Gguf:
        dimensions = b"".join(map(self.count, shape))
        self.tensors.append(
            self.text(name) + self.pack("I", len(shape)) + dimensions + self.pack("I", kind) + self.pack("Q", 0)
        )
        return self

    def __bytes__(self) -> bytes:
        tensors = len(self.tensors) if self.said_tensors is None else self.said_tensors
        entries = len(self.entries) if self.said_entries is None else self.said_entries
        head = b"GGUF" + self.pack("I", self.version) + self.count(tensors) + self.count(entries)
        return head + b"".join(self.entries) + b"".join(self.tensors)


def small_llama(vocabulary: int = 10, **how: Any) -> Gguf:
    """As llama.cpp would write a tiny Llama in Q4_K_M: 2 layers, 4 heads, 2 KV heads; 1 002 000 parameters."""
    file = Gguf(**how)
    file.word("general.architecture", "llama").word("general.name", "Tiny").number("general.file_type", 15)
    file.number("llama.block_count", 2).number("llama.context_length", 8192).number("llama.embedding_length", 64)
    file.number("llama.attention.head_count", 4).number("llama.attention.head_count_kv", 2)
    file.number("llama.rope.freq_base", 500000, "f", 6)
    file.words("tokenizer.ggml.tokens", [f"token {number}" for number in range(vocabulary)])
    file.numbers("tokenizer.ggml.token_type", [1] * vocabulary)
    return file.tensor("token_embd.weight", 1000, 1000).tensor("norm.weight", 2000, kind=0)


LLAMA = {
    "format": "GGUF",
    "format_version": 3,
    "tensor_count": 2,
    "param_count": 1_002_000,
    "dtype": "Q4_K_M",
    "architecture": "llama",
    "block_count": 2,
    "context_length": 8192,
    "embedding_length": 64,
    "head_count": 4,
    "head_count_kv": 2,
}
"""What is told of it."""


def safetensors(tensors: Mapping[str, tuple[str, list[int]]], metadata: Mapping[str, str] | None = None) -> bytes:
    """As the library writes one: metadata, then tensors with their places."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    for name, (dtype, shape) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}
    return framed(json.dumps(header).encode())


def framed(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


# -- ONNX ----------------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_tensor(*shape: int, kind: int = 1, packed: bool = True, raw: bytes = b"") -> bytes:
    dims = field(1, b"".join(map(varint, shape))) if packed else b"".join(field(1, size) for size in shape)
    return dims + field(2, kind) + field(8, b"weight") + field(9, raw)


def onnx(*tensors: bytes, ir_version: int = 8) -> bytes:
    graph = field(1, field(4, b"MatMul")) + b"".join(field(5, tensor) for tensor in tensors) + field(2, b"graph")
    return field(1, ir_version) + field(2, b"pytorch") + field(3, b"2.1") + field(7, graph) + field(8, field(2, 17))


# -- archives --------------------------------------------------------------------------------------------------------


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name in names:
            zipped.writestr(name, b"\x80\x02}q\x00.")
    return file.getvalue()


def torch_file() -> bytes:
    return archive("archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/version")


LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
"""The first two pickles of the format of before 2020: the magic number, and the protocol 1001."""

ALL = {
    "GGUF": bytes(small_llama()),
    "SafeTensors": safetensors({"a": ("BF16", [1000, 1000]), "b": ("F32", [2000])}, {"format": "pt"}),
    "ONNX": onnx(onnx_tensor(1000, 1000), onnx_tensor(2000, packed=False, raw=b"\0" * 100)),
    "PyTorch": torch_file(),
}
"""A file of each kind."""


def plain(found: Any) -> dict[str, Any]:
    """What is told, as JSON."""
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told
