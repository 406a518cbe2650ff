r"""Bytes of a keyboard in, names of keys out, wherever the bytes are cut.

    "s" ──▶ "s"     "\x1b[A" ──▶ "up"     "\x03" ──▶ "ctrl-c"     "\x1b", and then nothing ──▶ "esc"

A lone ESC and the beginning of a sequence look alike: `is_pending` says so, and whoever reads calls `flush` when
nothing has followed for a moment.  Sequences that nobody knows are dropped whole.  Source: ECMA-48, section 5.4
(control sequences); xterm, "Control Sequences", PC-style function keys.
"""

from __future__ import annotations

import codecs
import re

__all__ = ["KeyDecoder"]

SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page-up",
    "\x1b[6~": "page-down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
}
SINGLE = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x03": "ctrl-c"}
SEQUENCE_CHARS = 32

_WHOLE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")


class KeyDecoder:
    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    @property
    def is_pending(self) -> bool:
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The keys that `data` completes."""
        text = self._rest + self._decode(data)
        self._rest = ""
        keys: list[str] = []
        while text:
            if text[0] != "\x1b":
                if key := SINGLE.get(text[0], text[0] if text[0].isprintable() else ""):
                    keys.append(key)
                text = text[1:]
            elif whole := _WHOLE.match(text):
                if key := SEQUENCES.get(whole[0], ""):
                    keys.append(key)
                text = text[whole.end() :]
            elif _BEGUN.fullmatch(text) and len(text) < SEQUENCE_CHARS:
                self._rest, text = text, ""
            else:  # ESC, and then something that is no sequence
                keys.append("esc")
                text = text[1:]
        return keys

    def flush(self) -> list[str]:
        """Nothing has followed: what is pending was the key itself."""
        rest, self._rest = self._rest, ""
        return ["esc", *rest[1:]] if rest else []
