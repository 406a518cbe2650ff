"""HPACK as our server needs it (RFC 7541): a decoder in one loop, and an encoder without a memory.

The hpack library calls, wraps and logs its way through every field: a seventh of a small request went there.  Its table
and its Huffman code are used as they are; what is decoded, and refused, is compared with it in the tests.

Our own headers never enter the peer's dynamic table (section 6.2.2), so that encoding one depends on nothing that was
sent before, and its bytes can be kept: faster than compressing, for some 50 bytes more a response.
"""

from __future__ import annotations

from functools import lru_cache

import hpack
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from hoosh.http.message import Header, HeaderList

__all__ = ["HeaderDecoder", "encode_fields"]

STATIC: list[Header] = [(b"", b""), *HeaderTable.STATIC_TABLE]
"""Appendix A; the index counts from one."""
ENTRY_OVERHEAD_BYTES = 32
"""Section 4.1."""
MAX_INTEGER_BYTES = 10
"""As much as the hpack library takes."""


# -- reading ----------------------------------------------------------------------------------------------------


class HeaderDecoder(hpack.Decoder):
    """Turns header blocks of one connection into header lists of bytes.  Raises hpack.HPACKError."""

    def decode(self, data: bytes, raw: bool = False) -> list[Header]:  # type: ignore[override]
        """The fields of one whole header block."""
        fields: list[Header] = []
        size = at = 0
        try:
            while at < len(data):
                octet = data[at]
                if octet & 0x80:
                    index, at = (octet & 0x7F, at + 1) if octet != 0xFF else _integer(data, at, 0x7F)
                    field = self._entry(index)
                elif octet & 0xE0 == 0x20:
                    at = self._resize_table(data, at, is_first=not fields)
                    continue
                else:
                    field, at = self._literal(data, at, octet)
                fields.append(field)
                size += len(field[0]) + len(field[1]) + ENTRY_OVERHEAD_BYTES
                if size > self.max_header_list_size:
                    raise hpack.OversizedHeaderListError(f"more than {self.max_header_list_size} bytes of headers")
        except IndexError:
            raise hpack.HPACKDecodingError("the header block is cut") from None
        self._assert_valid_table_size()
        return fields

    def _entry(self, index: int) -> Header:
        if 0 < index < len(STATIC):
            return STATIC[index]
        entries = self.header_table.dynamic_entries
        if not index or index - len(STATIC) >= len(entries):
            raise hpack.InvalidTableIndexError(f"no entry {index} in the table")
        return entries[index - len(STATIC)]

    def _literal(self, data: bytes, at: int, octet: int) -> tuple[Header, int]:
        is_indexed = octet & 0x40
        index, at = _integer(data, at, 0x3F if is_indexed else 0x0F)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _string(data, at)
        value, at = _string(data, at)
        if is_indexed:
            self.header_table.add(name, value)
        return (name, value), at

    def _resize_table(self, data: bytes, at: int, *, is_first: bool) -> int:
        if not is_first:
            raise hpack.HPACKDecodingError("the table is resized in the middle of a header block")
        size, at = _integer(data, at, 0x1F)
        if size > self.max_allowed_table_size:
            raise hpack.InvalidTableSizeError(f"a table of {size} bytes")
        self.header_table_size = size
        return at


def _integer(data: bytes, at: int, mask: int) -> tuple[int, int]:
    """Section 5.1: the integer whose prefix is under `mask`, and where it ends."""
    value = data[at] & mask
    start, at = at, at + 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        octet = data[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
        shift += 7
        if at - start > MAX_INTEGER_BYTES:
            raise hpack.HPACKDecodingError("an integer without end")


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """Section 5.2."""
    is_huffman = data[at] & 0x80
    length, at = _integer(data, at, 0x7F)
    end = at + length
    if end > len(data):
        raise hpack.HPACKDecodingError("the header block is cut")
    text = data[at:end]
    return (decode_huffman(text) if is_huffman else text), end


# -- writing ----------------------------------------------------------------------------------------------------

_fields = {field: index for index, field in reversed(list(enumerate(STATIC)))}
_names = {field[0]: index for index, field in reversed(list(enumerate(STATIC))) if index}


def encode_fields(headers: HeaderList) -> bytes:
    """A header block.  Names must be lower-case."""
    return b"".join([_encode_field(name, value) for name, value in headers])


@lru_cache(maxsize=2048)
def _encode_field(name: bytes, value: bytes) -> bytes:
    """An indexed field (section 6.1), or a literal that is not indexed (6.2.2), without Huffman coding."""
    index = _fields.get((name, value))
    if index:
        return bytes((0x80 | index,))
    known = _names.get(name)
    start = _encode_integer(known, 4) if known is not None else b"\x00" + _encode_string(name)
    return start + _encode_string(value)


def _encode_string(text: bytes) -> bytes:
    return _encode_integer(len(text), 7) + text


def _encode_integer(value: int, prefix_bits: int) -> bytes:
    """Section 5.1; the bits before the prefix are zero."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((value,))
    octets = bytearray((limit,))
    value -= limit
    while value >= 128:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value)
    return bytes(octets)
