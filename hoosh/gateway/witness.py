"""What a request asked and what it was told, as the audit trail may have it: digests, and the words where the owner
wants them.

Made only where there is an audit trail.  A stream is hashed as it goes by, block by block; what is one block is kept,
and hashed when the request is written down.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hoosh.audit import Details

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Witness"]

CONTENT_BYTES = 64 * 1024
"""Of a prompt, and of a reply, that are kept where words are wanted at all."""


class Witness:
    """Of one request."""

    __slots__ = ("_asked", "_first", "_hash", "_keeps_words", "_words")

    def __init__(self, *, keeps_words: bool) -> None:
        self._keeps_words = keeps_words
        self._asked = b""
        self._first = b""
        self._hash: _Hash | None = None
        """From the second block of the reply on."""
        self._words = bytearray()

    def asked(self, body: bytes) -> None:
        self._asked = body

    def told(self, block: bytes) -> None:
        """Part of the reply, in its order."""
        if self._hash is not None:
            self._hash.update(block)
        elif not self._first:
            self._first = block
        else:
            self._hash = hashlib.sha256(self._first)
            self._hash.update(block)
        if self._keeps_words and len(self._words) < CONTENT_BYTES:
            self._words += block[: CONTENT_BYTES - len(self._words)]

    def details(self) -> Details:
        asked, told = self._asked, self._hash
        if told is None and self._first:
            told = hashlib.sha256(self._first)
        digests = (
            hashlib.sha256(asked).hexdigest() if asked else None,
            None if told is None else told.hexdigest(),
        )
        if not self._keeps_words:
            return Details(*digests)
        words = asked[:CONTENT_BYTES].decode("utf-8", "replace"), self._words.decode("utf-8", "replace")
        return Details(*digests, words[0] or None, words[1] or None)
