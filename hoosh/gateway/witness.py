"""What a request asked and what it was told, as the audit trail may have it: digests, and the words where the owner
wants them.

Made only where there is an audit trail.  A stream is hashed as it goes by, block by block; what is one block is kept,
and hashed when the request is written down.
"""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct

from hoosh.audit import Details, hash_of

__all__ = ["Witness"]

CONTENT_BYTES = 64 * 1024
"""Of a prompt, and of a reply, that are kept where words are wanted at all."""


class Witness(Struct, eq=False, gc=False):
    """Of one request."""

    keeps_words: bool
    asked: bytes = b""
    """The request's body."""
    asked_sha256: str | None = None
    """Of a body that is not held: sound, which has no words to keep."""
    first: bytes = b""
    """Block of the reply, until a second has come."""
    hash: Any = None
    """Of the reply, from its second block on."""
    words: bytes = b""

    def told(self, block: bytes) -> None:
        """Part of the reply, in its order."""
        if self.hash is not None:
            self.hash.update(block)
        elif not self.first:
            self.first = block
        else:
            self.hash = hashlib.sha256(self.first)
            self.hash.update(block)
            self.first = b""  # a stream may stand for hours: nothing of it is kept
        if self.keeps_words and len(self.words) < CONTENT_BYTES:
            self.words += block[: CONTENT_BYTES - len(self.words)]

    def details(self) -> Details:
        asked, told = self.asked, self.first
        reply_sha256 = self.hash.hexdigest() if self.hash is not None else hash_of(told) if told else None
        digests = hash_of(asked) if asked else self.asked_sha256, reply_sha256
        if not self.keeps_words:
            return Details(*digests)
        words = asked[:CONTENT_BYTES].decode("utf-8", "replace"), self.words.decode("utf-8", "replace")
        return Details(*digests, words[0] or None, words[1] or None)
