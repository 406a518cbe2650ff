"""What one request has come to: the row that the ledger, the costs and the metrics are folded from."""

from __future__ import annotations

from msgspec import Struct

from hoosh.values.usage import Usage

__all__ = ["DEFAULT_POOL", "Settlement"]

DEFAULT_POOL = "default"
"""Pays where neither the request nor its key names a pool."""


class Settlement(Struct, frozen=True, tag="settled", omit_defaults=True, gc=False):
    """Written once for every request that was let in, however it ended.  Whole tokens, whole micro-USD.

    `charge` is what its pool pays, in the pool's unit; 0 for a request that came to nothing and for a cached answer.
    """

    request_id: str
    at_ms: int
    """Unix milliseconds, when it was settled."""
    caller: str
    pool: str
    charge: int = 0
    kind: str = "chat"
    provider: str = ""
    model: str = ""
    """As the upstream was asked."""
    usage: Usage = Usage()
    cost_micro_usd: int | None = None
    """None where no price is known."""
    estimated: bool = False
    """`usage` is ours: the upstream has not counted, or not to the end."""
    local: bool = False
    """Answered on the owner's own machines."""
    cached: bool = False
    """Answered out of the cache, or by an upstream call that another request has paid."""
    outcome: str = "ok"
    """One of `ok`, `error`, `cut`, `client_left`, as far as it is known when it is settled."""
    unit: str = ""
    """What `charge` counts, where the pool of that name counts something else by now: the ledger says it then."""
