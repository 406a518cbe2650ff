"""A text that must not be seen: keys, and header values that may hold one.

It does not print: `repr`, `str` and f-strings give `***`.  It is a plain class and no Struct, so that encoding a
configuration to JSON fails instead of telling.  `reveal` is the one way out; search for it to see who looks.
"""

from __future__ import annotations

import hmac

__all__ = ["Secret"]


class Secret:
    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        # Pickling would write it somewhere; copying a Struct that holds one (copy.replace) does not need this.
        raise TypeError("a Secret does not leave the process")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self
