"""Carrying one provider's signatures through another's dialect and back, byte for byte, without keeping any state.

A model that thinks signs its thoughts (Anthropic) or its tool calls (Gemini) and wants the signature back next turn.
Clients send back what their own dialect has a place for, so that is where a foreign signature travels:

    seal / unseal            a thought's signature, in Anthropic's `signature` field:    hoosh:gemini:<signature>
    sign_id / read_id        a call's signature, in the call's id:                        call_1__sig_<base64url>

A signature of the dialect's own provider goes as it came.
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["read_id", "seal", "sign_id", "unseal"]

_SEAL = "hoosh:"
_MARK = "__sig_"


def seal(signature: str, origin: str, *, home: str) -> str:
    """`signature` as a client of dialect `home` is shown it."""
    return signature if origin == home or not signature else f"{_SEAL}{origin}:{signature}"


def unseal(sealed: str, *, home: str) -> tuple[str, str]:
    """(signature, origin) of what `seal` has made; what it has not made is of `home`'s own provider."""
    if not sealed.startswith(_SEAL):
        return sealed, home if sealed else ""
    origin, colon, signature = sealed.removeprefix(_SEAL).partition(":")
    return (signature, origin) if colon else (sealed, home)


def sign_id(call_id: str, signature: str) -> str:
    """The id of a tool call, with its signature in it where there is one."""
    if not signature:
        return call_id
    return call_id + _MARK + base64.urlsafe_b64encode(signature.encode()).decode().rstrip("=")


def read_id(signed: str) -> tuple[str, str]:
    """(id, signature) of what `sign_id` has made."""
    call_id, mark, encoded = signed.partition(_MARK)
    if not mark:
        return signed, ""
    try:
        return call_id, base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, ValueError):
        return signed, ""
