"""Signatures of webhooks, by which a receiver knows that a delivery is ours, whole, and of now.

    webhook-id          the same for every attempt at one delivery
    webhook-timestamp   Unix seconds of the attempt
    webhook-signature   v1,BASE64(HMAC-SHA256(secret, id.timestamp.body))

The secret is written as `whsec_` and base64 of 24 to 64 bytes.
Source: Standard Webhooks, specification 1.0.0, "Signature scheme" and "Webhook headers".  Pure.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from hoosh.values import Secret

__all__ = ["Signer", "secret_mistake"]

PREFIX = "whsec_"
BYTES_MIN, BYTES_MAX = 24, 64


class Signer:
    """Signs with one secret.  Raises ValueError for what is none."""

    __slots__ = ("_key",)

    def __init__(self, secret: Secret) -> None:
        self._key = _key_of(secret)

    def headers(self, message_id: str, body: bytes, *, now_s: float) -> list[tuple[bytes, bytes]]:
        """Those of one attempt.  `now_s` is Unix time."""
        name, at = message_id.encode("ascii"), b"%d" % int(now_s)
        signature = base64.b64encode(hmac.digest(self._key, b"%b.%b.%b" % (name, at, body), "sha256"))
        return [(b"webhook-id", name), (b"webhook-timestamp", at), (b"webhook-signature", b"v1," + signature)]

    def __repr__(self) -> str:
        return "Signer(***)"


def secret_mistake(secret: Secret) -> str | None:
    """What keeps it from being one; never repeats it."""
    try:
        _key_of(secret)
    except ValueError as error:
        return str(error)
    return None


def _key_of(secret: Secret) -> bytes:
    text = secret.reveal()
    advice = "write what `echo whsec_$(openssl rand -base64 32)` prints"
    if not text.startswith(PREFIX):
        raise ValueError(f"does not begin with {PREFIX}; {advice}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not {PREFIX} and base64; {advice}") from None
    if not BYTES_MIN <= len(key) <= BYTES_MAX:
        raise ValueError(f"has {len(key)} bytes, and {BYTES_MIN} to {BYTES_MAX} are wanted; {advice}")
    return key
