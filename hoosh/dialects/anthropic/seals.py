"""Thoughts of other providers in a client's thinking blocks, and back.

A thinking block has one place for what a provider wants back, its `signature` (a redacted one has its `data`).  What
another provider gave travels there, sealed as `dialects/signatures.py` does it; the origin says also what was sealed:

    hoosh:gemini:…            a signature
    hoosh:openai#d#rs_1:…     encrypted data, of the reasoning item rs_1
"""

from __future__ import annotations

from hoosh.dialects.signatures import seal, unseal
from hoosh.values import ReasoningPart

__all__ = ["open_seal", "sealed"]

HOME = "anthropic"


def sealed(origin: str, signature: str, data: str, item: str) -> str:
    """What goes into the block; "" for nothing."""
    if origin == HOME:
        return data or signature
    mark = origin.replace(":", "_").replace("#", "_") or "unknown"
    if data:
        mark += "#d"
    if item and ":" not in item and "#" not in item:
        mark += f"#{item}" if data else f"#s#{item}"
    return seal(data or signature, mark, home=HOME)


def open_seal(text: str, found: str, *, redacted: bool) -> ReasoningPart:
    """The thought `text` with what was found in its block."""
    kept, mark = unseal(found, home=HOME)
    origin, *more = mark.split("#", 2)
    if redacted and origin == HOME:
        return ReasoningPart(data=kept, origin=HOME)
    item = more[1] if len(more) > 1 else ""
    if more and more[0] == "d":
        return ReasoningPart(text, data=kept, origin=origin, id=item)
    return ReasoningPart(text, kept, origin=origin, id=item)
