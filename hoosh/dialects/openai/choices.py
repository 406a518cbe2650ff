"""How many choices a call in OpenAI's language asks for: servers may answer them one after another.

`n` of each prompt; a completion may bring a list of prompts, and a list of numbers is one of them, in tokens.
"""

from __future__ import annotations

import msgspec

from hoosh.dialects.loose_json import UNREADABLE
from hoosh.values import Call, CallKind

__all__ = ["choices_asked"]


def choices_asked(call: Call) -> int:
    """At least 1; what is nonsense is 1 too, and the upstream's to refuse."""
    wanted = _field(call, "n")
    prompts = _field(call, "prompt") if call.kind is CallKind.COMPLETION else None
    count = wanted if type(wanted) is int and wanted > 0 else 1
    if isinstance(prompts, list) and prompts and type(prompts[0]) is not int:
        count *= len(prompts)
    return count


def _field(call: Call, name: str) -> object:
    raw = call.fields.get(name)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except UNREADABLE:
        return None
