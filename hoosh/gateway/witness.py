"""What a request asked and what it was told, as the audit trail may have it: digests, and the words where the owner
wants them.

Made only where there is an audit trail.  The reply is hashed as it goes by, block by block.
"""

from __future__ import annotations

import hashlib

from hoosh.audit import Details

__all__ = ["Witness"]

CONTENT_BYTES = 64 * 1024
"""Of a prompt, and of a reply, that are kept where words are wanted at all."""


class Witness:
    """Of one request."""

    __slots__ = ("_keeps_words", "_reply", "_reply_words", "_request", "_request_words")

    def __init__(self, *, keeps_words: bool) -> None:
        self._keeps_words = keeps_words
        self._request: str | None = None
        self._request_words = ""
        self._reply = hashlib.sha256()
        self._reply_words = bytearray()

    def asked(self, body: bytes) -> None:
        self._request = hashlib.sha256(body).hexdigest()
        if self._keeps_words:
            self._request_words = body[:CONTENT_BYTES].decode("utf-8", "replace")

    def told(self, block: bytes) -> None:
        """Part of the reply, in its order."""
        self._reply.update(block)
        if self._keeps_words and len(self._reply_words) < CONTENT_BYTES:
            self._reply_words += block[: CONTENT_BYTES - len(self._reply_words)]

    def details(self, sent_bytes: int) -> Details:
        if not self._keeps_words:
            return Details(self._request, self._reply.hexdigest() if sent_bytes else None)
        words = self._reply_words.decode("utf-8", "replace")
        return Details(
            self._request, self._reply.hexdigest() if sent_bytes else None, self._request_words, words or None
        )
