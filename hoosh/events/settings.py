"""`[events]` and `[[webhooks]]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hoosh.values import Secret

__all__ = ["Events", "Webhook"]


class Events(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has happened, for those who want to know."""

    enabled: bool = True
    keep: Annotated[int, Meta(ge=2, le=100_000)] = 1_000
    """The last events, for whoever comes later."""
    buffer: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Events that wait for one listener; then it loses the oldest."""
    max_listeners: Annotated[int, Meta(ge=0)] = 64
    """Streams over HTTP at once."""


class Webhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events are sent.  The URL is a secret, too: many hold a token."""

    name: Annotated[str, Meta(min_length=1)]
    url: Secret
    secret: Secret
    """`whsec_` and base64: what deliveries are signed with."""
    topics: tuple[Annotated[str, Meta(min_length=1)], ...]
    enabled: bool = True
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """Of one attempt."""
    max_retries: Annotated[int, Meta(ge=0, le=20)] = 5
    """Attempts after the first; then the event is given up."""
    queue: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    """Events that wait for their delivery; then the oldest is dropped."""
    verify: bool | Annotated[str, Meta(min_length=1)] = True
    """False trusts any certificate; a path trusts the authorities in that PEM file."""
