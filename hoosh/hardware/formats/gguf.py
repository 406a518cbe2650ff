"""GGUF: llama.cpp's files, as of version 1 to 3, in either byte order.

    "GGUF"  version  tensors  entries
    entries × (name, type, value)         what is asked for is kept, the rest (vocabularies) is passed over
    tensors × (name, dimensions, type, offset)

An array of arrays, which nobody writes, ends the reading, as whatever makes no sense does.

Sources: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, include/llama.h (`llama_ftype`) and gguf-py's constants for
the names of types.
"""

from __future__ import annotations

from collections import Counter
from struct import Struct as Packed
from typing import Any

from hoosh.hardware.formats.window import MAX_NUMBER, CutShort, Window
from hoosh.values.placement import ModelFormat

__all__ = ["FILE_TYPES", "TENSOR_TYPES", "read_gguf"]

VERSIONS = (1, 2, 3)
MAX_ENTRIES = 65_536
MAX_TENSORS = 65_536
MAX_STRINGS = 2_000_000
MAX_NAME_BYTES = 65_535
MAX_DIMENSIONS = 8
MAX_LISTED = 4096
"""Numbers in an array that is kept: one for each layer."""
MAX_WORD_CHARS = 64
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
WHOLE = frozenset({0, 1, 2, 3, 4, 5, 10, 11})

FILE_TYPES = {
    number: name
    for number, name in enumerate(
        (
            *("F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L"),
            *("Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS"),
            *("IQ1_S", "IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16", "", "", ""),
            *("TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0"),
        )
    )
    if name
}
"""What the most tensors are, by `general.file_type`."""
TENSOR_TYPES = {
    number: name
    for number, name in enumerate(
        (
            *("F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K"),
            *("Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8"),
            *("I16", "I32", "I64", "F64", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "", "", "", "MXFP4"),
        )
    )
    if name
}
KEPT = {
    "block_count": "block_count",
    "context_length": "context_length",
    "embedding_length": "embedding_length",
    "attention.head_count": "head_count",
    "attention.head_count_kv": "head_count_kv",
    "attention.key_length": "key_length",
    "expert_count": "expert_count",
}
"""Entries behind the name of the architecture → our names."""
ENDINGS = ("general.file_type", *KEPT)


def read_gguf(window: Window) -> ModelFormat | None:
    """None where it is no GGUF file.  Raises CutShort where it ends within the first line."""
    if window.take(4) != b"GGUF":
        return None
    return _Reader(window).read()


class _Reader:
    def __init__(self, window: Window) -> None:
        self._window = window
        raw = window.take(4)
        self._order = "<" if raw[0] or raw[1] else ">"
        self._version = int.from_bytes(raw, "little" if self._order == "<" else "big")
        # The first version counted with 32 bits.
        self._count = Packed(self._order + ("I" if self._version == 1 else "Q"))
        self._u32 = Packed(self._order + "I")
        self._strings_left = MAX_STRINGS
        self._found: dict[str, Any] = {}
        """By whole names; of numbers and of the architecture's name."""

    def read(self) -> ModelFormat:
        window, tensors = self._window, None
        parameters = dtype = None
        try:
            tensors = window.unpack(self._count)
            entries = window.unpack(self._count)
            if entries <= MAX_ENTRIES and self._version in VERSIONS:
                for _ in range(entries):
                    self._entry()
                parameters, dtype = self._tensors(tensors)
        except CutShort:
            pass
        return self._told(tensors, parameters, dtype)

    # -- metadata --------------------------------------------------------------------------------------------------

    def _entry(self) -> None:
        name = self._string(MAX_NAME_BYTES)
        kind = self._window.unpack(self._u32)
        if kind == ARRAY:
            self._array(name)
        elif kind == STRING:
            if name == "general.architecture":
                self._found[name] = self._string(MAX_WORD_CHARS)
            else:
                self._window.skip(self._window.unpack(self._count))
        elif name.endswith(ENDINGS):
            self._found[name] = self._scalar(kind)
        else:
            self._window.skip(self._packed(kind).size)

    def _array(self, name: str) -> None:
        kind, count = self._window.unpack(self._u32), self._window.unpack(self._count)
        if kind == STRING:
            self._pass_strings(count)
            return
        packed = self._packed(kind)
        if name.endswith(tuple(KEPT)) and kind in WHOLE and 0 < count <= MAX_LISTED:
            values = Packed(f"{self._order}{count}{packed.format[-1]}").unpack(self._window.take(count * packed.size))
            self._found[name] = max(values)
        else:
            self._window.skip(count * packed.size)

    def _pass_strings(self, count: int) -> None:
        self._strings_left -= count
        if self._strings_left < 0:
            raise CutShort
        if self._version == 1:
            for _ in range(count):
                self._window.skip(self._window.unpack(self._count))
        else:
            self._window.skip_strings(count, self._order)

    def _string(self, most_bytes: int) -> str:
        length = self._window.unpack(self._count)
        if length > most_bytes:
            raise CutShort
        return self._window.take(length).decode("utf-8", "replace")

    def _scalar(self, kind: int) -> int | None:
        value = self._window.unpack(self._packed(kind))
        return value if kind in WHOLE else None

    def _packed(self, kind: int) -> Packed:
        if kind not in SCALARS:
            raise CutShort
        return Packed(self._order + SCALARS[kind])

    # -- tensors ---------------------------------------------------------------------------------------------------

    def _tensors(self, count: int) -> tuple[int | None, str | None]:
        """How many parameters there are, and of which type the most are."""
        if count > MAX_TENSORS:
            raise CutShort
        of_type: Counter[int] = Counter()
        dimensions = Packed(self._order + ("I" if self._version == 1 else "Q"))
        for _ in range(count):
            self._window.skip(self._window.unpack(self._count))
            rank = self._window.unpack(self._u32)
            if rank > MAX_DIMENSIONS:
                raise CutShort
            size = 1
            for _ in range(rank):
                size *= self._window.unpack(dimensions)
            kind = self._window.unpack(self._u32)
            self._window.skip(8)
            of_type[kind] += size
            if of_type[kind] > MAX_NUMBER:
                raise CutShort
        if not of_type or of_type.total() > MAX_NUMBER:
            return None, None
        kind = of_type.most_common(1)[0][0]
        return of_type.total(), TENSOR_TYPES.get(kind, f"GGUF_TYPE_{kind}")

    # -- what is told ----------------------------------------------------------------------------------------------

    def _told(self, tensors: int | None, parameters: int | None, dtype: str | None) -> ModelFormat:
        file_type = self._found.get("general.file_type")
        if file_type is not None:
            dtype = FILE_TYPES.get(file_type, f"GGUF_TYPE_{file_type}")
        architecture = self._found.get("general.architecture")
        facts = {ours: self._number(f"{architecture}.{theirs}") for theirs, ours in KEPT.items()}
        if not isinstance(architecture, str) or not architecture.isprintable():
            architecture = None
        return ModelFormat(
            format="GGUF",
            format_version=self._version,
            tensor_count=tensors if tensors is None or tensors <= MAX_NUMBER else None,
            param_count=parameters,
            dtype=dtype,
            architecture=architecture,
            **facts,
        )

    def _number(self, name: str) -> int | None:
        value = self._found.get(name)
        return value if isinstance(value, int) and 0 <= value <= MAX_NUMBER else None
