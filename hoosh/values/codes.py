"""Codes of errors, as far as a log, an event or an audit entry may repeat them."""

from __future__ import annotations

__all__ = ["plain_code"]

CODE_CHARS = 64


def plain_code(code: str | None) -> str | None:
    """Codes are words; what an upstream calls a code may be anything, the prompt for one."""
    if code is None or (len(code) <= CODE_CHARS and code.isascii() and code.replace("_", "a").isalnum()):
        return code
    return "upstream_error"
