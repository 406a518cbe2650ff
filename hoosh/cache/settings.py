"""`[cache]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Cache"]


class Cache(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exact caching of whole answers."""

    enabled: bool = True
    max_entries: Annotated[int, Meta(ge=1)] = 1_000
    max_bytes: Annotated[int, Meta(ge=1)] = 64 * 1024 * 1024
    """Of all kept answers together, keys and headers included."""
    ttl_secs: Annotated[float, Meta(ge=0)] = 300.0
    """0: an answer never grows too old."""
    share: Literal["key", "all"] = "key"
    """Whose answers a caller may get: those of its own key, or everybody's."""
    nondeterministic: bool = False
    """Keep answers of requests that neither say `temperature: 0` nor a `seed`, too.  Embeddings always are kept."""
    tool_calls: bool = False
    """Keep answers that call tools."""
    single_flight: bool = True
    """Equal requests in the air share one upstream call."""
