"""How much memory a model needs: its weights, what it remembers of running requests, and what its engine needs besides.

    weights    parameters · bits / 8
    KV cache   2 · layers · kv_heads · head_dim · kv_bits / 8, for each token of context and each sequence at once
    overhead   where the architecture is known: 512 MiB for the engine, and 5 % of the weights for its buffers
               where it is not: 20 % of the weights for all of that and the cache, as the reference has it

Whole bytes throughout.  Pure arithmetic; docs/placement.md tells how near it comes to published sizes.  Source:
reference section 11.2; the cache by its definition, which is what llama.cpp logs as "KV self size".
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ENGINE_BYTES", "KV_BITS", "Footprint", "footprint"]

ENGINE_BYTES = 512 * 1024**2
"""What an engine keeps for itself on its device: CUDA's context and llama.cpp's compute buffers are about that."""
KV_BITS = 16.0
PARTS = 10_000
"""Bits are counted in parts of this, so that the arithmetic is whole however large a model is."""


class Footprint(Struct, frozen=True):
    weights_bytes: int
    kv_cache_bytes: int
    """0 where the architecture is not known: then it is in the overhead."""
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.overhead_bytes


def footprint(
    parameters: int,
    bits_per_weight: float,
    *,
    layers: int | None = None,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    kv_width: int | None = None,
    windowed_layers: int = 0,
    window_tokens: int | None = None,
    context_tokens: int = 4096,
    kv_bits: float = KV_BITS,
    sequences: int = 1,
) -> Footprint:
    """What a model of `parameters` weights needs to answer `sequences` requests at once, each `context_tokens` long.

    Of a mixture of experts, `parameters` are all of them: every expert is in memory.  `kv_width` is how many values are
    kept of a token in a layer where that is not 2 · `kv_heads` · `head_dim` (multi-head latent attention keeps fewer).
    `windowed_layers` of the layers look back no further than `window_tokens`.
    """
    weights = _bytes(parameters, bits_per_weight)
    if kv_width is None and kv_heads is not None and head_dim is not None:
        kv_width = 2 * kv_heads * head_dim
    if layers is None or kv_width is None:
        return Footprint(weights, 0, weights // 5)
    windowed = min(windowed_layers, layers) if window_tokens is not None else 0
    kept = (layers - windowed) * context_tokens + windowed * min(context_tokens, window_tokens or context_tokens)
    return Footprint(weights, _bytes(kept * kv_width * sequences, kv_bits), ENGINE_BYTES + weights // 20)


def _bytes(values: int, bits: float) -> int:
    """Those that `values` of `bits` each fill, rounded down, as the reference does."""
    return values * round(bits * PARTS) // (8 * PARTS)
