"""A bug, told without a word of what was being served.

An exception's own text may be anything: a `KeyError` is a key, a body that would not decode is the body, a plugin may
say what it was asked.  So what is told are types and places in the code, never values nor lines of source, and a text
only where it is known to be safe:

    HooshError      its own, which is made to be shown; not an upstream's verdict, whose words are the upstream's, nor
                    that of a type which a plugin has made
    OSError         the name of its number, and what the system says of it; no path, and no text of its raiser's
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator
from types import TracebackType

from hoosh.errors import HooshError, UpstreamError

__all__ = ["STACK_CHARS", "stack_of", "words_of"]

STACK_CHARS = 16_384
"""The last part of a longer one, where the error is."""
FRAMES = 40
"""Of one exception, the innermost."""
CHAIN = 16
CHILDREN = 16
DEPTH = 8
CAUSE = "which caused"
CONTEXT = "and, while that was handled"


def words_of(error: BaseException) -> str:
    """Its type, and its text where that is safe: one line."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    text = _safe_text(error)
    return f"{name}: {text}" if text else name


def stack_of(error: BaseException, *, with_text: bool = False) -> str:
    """The chain that led to `error`, the first cause first; of a group all that is in it.  At most STACK_CHARS.

    `with_text`: as Python prints it, with every exception's own text and the lines of source.
    """
    lines = traceback.format_exception(error) if with_text else _chain(error, DEPTH, set())
    return "".join(lines)[-STACK_CHARS:].rstrip("\n")


def _safe_text(error: BaseException) -> str:
    if isinstance(error, HooshError):
        is_worded_by_us = type(error) is not UpstreamError and type(error).__module__.startswith("hoosh.")
        return str(error) if is_worded_by_us else ""
    if isinstance(error, BaseExceptionGroup):
        return f"{len(error.exceptions)} inside"
    # Only the system's own: the numbers of `ssl` and of name servers mean something else.
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        number = error.errno  # None where it was raised with a text alone
        return f"{errno.errorcode[number]}, {os.strerror(number)}" if number and number in errno.errorcode else ""
    return ""


def _chain(error: BaseException, depth: int, seen: set[int]) -> Iterator[str]:
    links = [(error, "")]
    seen.add(id(error))
    while len(links) < CHAIN and (before := _before(links[-1][0])) is not None and id(before[0]) not in seen:
        seen.add(id(before[0]))
        links.append(before)
    for each, leads_to in reversed(links):
        yield from _one(each, depth, seen)
        if leads_to:
            yield f"{leads_to}\n"


def _before(error: BaseException) -> tuple[BaseException, str] | None:
    """As Python chains them (PEP 3134, PEP 415)."""
    if error.__cause__ is not None:
        return error.__cause__, CAUSE
    if error.__context__ is not None and not error.__suppress_context__:
        return error.__context__, CONTEXT
    return None


def _one(error: BaseException, depth: int, seen: set[int]) -> Iterator[str]:
    yield from _frames(error.__traceback__)
    yield f"{words_of(error)}\n"
    if not isinstance(error, BaseExceptionGroup):
        return
    for child in error.exceptions[:CHILDREN]:
        if depth and id(child) not in seen:
            yield from (f"  | {line}" for line in _chain(child, depth - 1, seen))
            yield "  +--\n"
    if len(error.exceptions) > CHILDREN:
        yield f"  | and {len(error.exceptions) - CHILDREN} more\n"


def _frames(innermost_last: TracebackType | None) -> Iterator[str]:
    frames = list(traceback.walk_tb(innermost_last))
    if len(frames) > FRAMES:
        yield f"  ({len(frames) - FRAMES} frames more)\n"
    for frame, line in frames[-FRAMES:]:
        yield f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_qualname}\n'
