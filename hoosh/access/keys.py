"""Bearer keys: who is asking, and what may they do?

Only SHA-256 digests are kept.  The presented key is hashed once and its digest looked up in a dict: the time that
takes tells nothing useful, since whoever does not know a key cannot choose its digest.  `hmac.compare_digest` then
has the last word.  The clock comes in as an argument; nothing here waits.

A key is taken from `authorization: Bearer KEY` (the scheme in any case: RFC 9110, section 11.1), else from
`x-api-key` as the Anthropic SDK sends it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from hoosh.errors import Forbidden, Unauthenticated
from hoosh.values.caller import ANONYMOUS, SCOPES, Caller, Priority
from hoosh.values.secret import Secret

__all__ = ["Key", "KeyRing", "digest_of", "may_use", "require_scope"]

_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")


class Key(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[keys]]` entry.  `key` is the key itself or `sha256:HEX`; `expires_s` is Unix time."""

    name: str
    key: Secret
    scopes: tuple[str, ...] = tuple(sorted(SCOPES))
    models: tuple[str, ...] = ()
    pool: str | None = None
    """The budget pool that pays for its requests, and the only one they may name."""
    rpm: Annotated[int, Meta(ge=1)] | None = None
    tpm: Annotated[int, Meta(ge=1)] | None = None
    max_concurrent: Annotated[int, Meta(ge=1)] | None = None
    priority: Priority = "normal"
    """The best that its requests may ask for."""
    privacy: Literal["any", "local"] = "any"
    """`local`: its requests never leave the owner's own machines."""
    expires_s: float | None = field(default=None, name="expires")


class _Entry(Struct, frozen=True):
    digest: bytes
    caller: Caller
    expires_s: float | None


def digest_of(key: Secret) -> bytes:
    """The SHA-256 digest that stands for `key`, whether it is written out or as `sha256:HEX`."""
    text = key.reveal()
    written = _DIGEST.fullmatch(text)
    return bytes.fromhex(written[1]) if written else hashlib.sha256(text.encode()).digest()


class KeyRing:
    """All configured keys.  Without any, everybody is ANONYMOUS and may do everything."""

    __slots__ = ("_entries",)

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._entries: dict[bytes, _Entry] = {}
        for key in keys:
            digest = digest_of(key.key)
            scopes = frozenset(key.scopes)
            local = key.privacy == "local"
            caller = Caller(key.name, scopes, key.models, key.pool, priority=key.priority, local_only=local)
            self._entries[digest] = _Entry(digest, caller, key.expires_s)

    def __len__(self) -> int:
        return len(self._entries)

    def authenticate(self, authorization: bytes | None, x_api_key: bytes | None = None, *, now_s: float) -> Caller:
        """Who holds the presented key.  `now_s` is Unix time.  Raises Unauthenticated, which never repeats the key."""
        if not self._entries:
            return ANONYMOUS
        digest = hashlib.sha256(_presented(authorization, x_api_key)).digest()
        entry = self._entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            raise Unauthenticated("Incorrect API key provided.")
        if entry.expires_s is not None and now_s >= entry.expires_s:
            raise Unauthenticated("The API key provided has expired.")
        return entry.caller


def _presented(authorization: bytes | None, x_api_key: bytes | None) -> bytes:
    if authorization is not None:
        scheme, _, token = authorization.strip().partition(b" ")
        token = token.strip()
        if token and scheme.lower() == b"bearer":
            return token
    if x_api_key is not None and (token := x_api_key.strip()):
        return token
    if authorization is None or not authorization.strip():
        raise Unauthenticated("You didn't provide an API key. Send it in the header `Authorization: Bearer YOUR_KEY`.")
    raise Unauthenticated("The Authorization header holds no API key: it must read `Bearer YOUR_KEY`.")


def require_scope(caller: Caller, scope: str) -> None:
    """Raises Forbidden unless the caller's key has `scope`."""
    if scope not in caller.scopes:
        raise Forbidden(f"This API key lacks the scope `{scope}`.")


def may_use(caller: Caller, model: str) -> None:
    """Raises Forbidden unless one of the key's model globs matches `model`, the name as the client asked for it."""
    if caller.models and not any(fnmatchcase(model, pattern) for pattern in caller.models):
        raise Forbidden(f"This API key may not use the model `{model[:200]}`.", param="model")
