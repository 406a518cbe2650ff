"""Words of OpenAI's Responses API that both directions share: ids, usage, what travels sealed, errors.

Ids.  Ours hold the reply's, so that an item says which response it is of, and all have one mark that no provider's has:

    resp_hoosh_<reply id>    msg_hoosh_<reply id>_0    rs_hoosh_<reply id>_1    fc_hoosh_<reply id>_2

Sealed thoughts.  A reasoning item has one place for what its provider wants back, `encrypted_content`.  OpenAI's own is
there as it came; anything else says what it is, after `hoosh:<origin>:` (signatures.py):

    s:<signature>     d:<data>     j:[signature, data, id]

Source: wire notes 2.1; `openai-openapi.trimmed.json`, schemas Response, ResponseUsage, ReasoningItem.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.costs import cost_fields
from hoosh.dialects.loose_json import UNREADABLE, encode_safely, read_count
from hoosh.dialects.signatures import seal, unseal
from hoosh.values import ReasoningPart, Usage

__all__ = [
    "HOME",
    "MARK",
    "RESPONSES_PATH",
    "SEAL",
    "TOKEN_COUNT_PATH",
    "error_json",
    "is_ours",
    "item_id",
]
__all__ += ["read_usage", "response_id", "response_of_item", "seal_thought", "unseal_thought", "usage_json"]

RESPONSES_PATH = "/v1/responses"
TOKEN_COUNT_PATH = "/v1/responses/input_tokens"
HOME = "openai"
MARK = "_hoosh_"
SEAL = "hoosh:"

_decode_triple = msgspec.json.Decoder(tuple[str, str, str]).decode


# -- ids ---------------------------------------------------------------------------------------------------------


def response_id(reply_id: str) -> str:
    return f"resp{MARK}{reply_id}"


def item_id(kind: str, reply_id: str, index: int) -> str:
    """`kind` is `msg`, `rs`, `fc` or `ig`."""
    return f"{kind}{MARK}{reply_id}_{index}"


def is_ours(identity: str) -> bool:
    return MARK in identity[:16]


def response_of_item(identity: str) -> str:
    """The id of the response that one of our items is of; "" where it is not ours."""
    _, mark, rest = identity.partition(MARK)
    reply_id, _, index = rest.rpartition("_")
    return response_id(reply_id) if mark and index.isdigit() else ""


# -- thoughts ----------------------------------------------------------------------------------------------------


def seal_thought(origin: str, signature: str, data: str, identity: str = "") -> str | None:
    """What a reasoning item's `encrypted_content` says.  `identity`: the provider's id, where the item has another."""
    if origin == HOME and data and not signature and not data.startswith(SEAL):
        return data
    if not (signature or data or identity):
        return None
    if identity or (signature and data):
        return _sealed(origin, "j:" + encode_safely([signature, data, identity]).decode())
    return _sealed(origin, f"s:{signature}" if signature else f"d:{data}")


def _sealed(origin: str, payload: str) -> str:
    return seal(payload, origin, home="\0")  # nobody's home: always sealed, also what is OpenAI's


def unseal_thought(text: str, sealed: str | None, identity: str) -> ReasoningPart:
    """A reasoning item as its part of a message."""
    identity = "" if is_ours(identity) else identity
    if not sealed:
        return ReasoningPart(text, id=identity)
    payload, origin = unseal(sealed, home=HOME)
    kind = payload[:2] if sealed.startswith(SEAL) else ""
    if kind == "s:":
        return ReasoningPart(text, payload[2:], "", origin, identity)
    if kind == "d:":
        return ReasoningPart(text, "", payload[2:], origin, identity)
    if kind == "j:":
        try:
            signature, data, theirs = _decode_triple(payload[2:])
        except UNREADABLE:
            return ReasoningPart(text, id=identity)
        return ReasoningPart(text, signature, data, origin, theirs)
    return ReasoningPart(text, "", sealed, HOME, identity)


# -- usage -------------------------------------------------------------------------------------------------------


def usage_json(usage: Usage, stamp: Stamp) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        **cost_fields(stamp, usage),
    }


def read_usage(usage: object) -> Usage | None:
    """A usage object, whatever the types in it; None where it counts nothing."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if not prompt and not completion:
        return None
    details, spent = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    reasoning = _count(spent, "reasoning_tokens")
    if reasoning and _count(usage, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning  # a server that leaves it out of the output, as xAI's chat does
    return Usage(
        prompt,
        completion,
        min(_count(details, "cached_tokens"), prompt),
        min(reasoning, completion),
        min(_count(details, "cache_write_tokens"), prompt),
    )


def _count(counts: object, name: str) -> int:
    return read_count(counts.get(name)) if isinstance(counts, dict) else 0


# -- errors ------------------------------------------------------------------------------------------------------


def error_json(facts: ErrorFacts) -> dict[str, Any]:
    """OpenAI's error object: all four keys, null where there is nothing to say."""
    return {"message": facts.message, "type": facts.kind, "param": facts.param, "code": facts.code}
