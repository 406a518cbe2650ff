"""Pins: which public keys a server may have, whoever has signed its certificate.

    sha256/RRM1dGqnDFsCJXBTHky16vi1obOlCgFFn/yOhI/y+ho=        as it is written (RFC 7469, section 2.4)

A pin is the SHA-256 digest of a certificate's SubjectPublicKeyInfo, so it outlives a renewal that keeps the key.  Only
the server's own certificate is looked at, never its authorities': an authority is pinned by trusting it alone
(`verify = PATH`).

Python's `ssl` tells a peer's certificate as DER, and not the key in it, so the few fields before the key are walked
over.  Source: RFC 5280, section 4.1; X.690, sections 8.1 and 10.1.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256

__all__ = ["parse_pin", "pin_of", "show_pin"]

KIND = "sha256/"
SEQUENCE = 0x30
VERSION = 0xA0
"""The optional first field of a certificate's body, explicitly tagged [0]."""
FIELDS_BEFORE_KEY = 5
"""Serial number, signature algorithm, issuer, validity, subject."""
LENGTH_OCTETS = 4


def parse_pin(text: str) -> bytes:
    """The digest that `text` writes down.  Raises ValueError, with what would be right."""
    right = "write sha256/ and the base64 of a SHA-256 digest, 44 signs with the = at the end"
    if not text.startswith(KIND):
        raise ValueError(f"is no pin; {right}")
    try:
        digest = base64.b64decode(text.removeprefix(KIND), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"holds what is not base64; {right}") from None
    if len(digest) != sha256().digest_size:
        raise ValueError(f"is {len(digest)} bytes long, not {sha256().digest_size}; {right}")
    return digest


def show_pin(digest: bytes) -> str:
    return KIND + base64.b64encode(digest).decode("ascii")


def pin_of(certificate: bytes) -> bytes:
    """The digest of the public key in `certificate`, which is DER.  Raises ValueError for what is no certificate."""
    try:
        return sha256(_public_key_info(certificate)).digest()
    except IndexError:
        raise ValueError("the certificate is cut short") from None


def _public_key_info(certificate: bytes) -> bytes:
    _, at, _ = _element(certificate, 0)
    _, at, end = _element(certificate, at)
    tag, _, after = _element(certificate, at)
    if tag == VERSION:
        at = after
    for _ in range(FIELDS_BEFORE_KEY):
        _, _, at = _element(certificate, at)
    tag, _, after = _element(certificate, at)
    if tag != SEQUENCE or after > end:
        raise ValueError("the certificate has no public key where it should be")
    return certificate[at:after]


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The element at `at`: its tag, where its content begins, where it ends."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 0 < octets <= LENGTH_OCTETS:
            raise ValueError("the certificate is not DER")
        length = int.from_bytes(der[start : start + octets], "big")
        start += octets
    if start + length > len(der):
        raise ValueError("the certificate is cut short")
    return tag, start, start + length
