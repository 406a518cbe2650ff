"""A model and how it is to be used: what has to be carried, at whatever quantisation."""

from __future__ import annotations

from msgspec import Struct

from hoosh.catalogue.hardware_models import HardwareModel
from hoosh.hardware.footprint import KV_BITS, Footprint, footprint
from hoosh.hardware.quantisation import Quantisation

__all__ = ["PARAMETERS_OF_A_LAYER", "Workload"]

PARAMETERS_OF_A_LAYER = 250_000_000
"""The reference's guess, where the architecture is not known."""


class Workload(Struct, frozen=True, kw_only=True):
    parameters: int
    model: HardwareModel | None = None
    """Its architecture, where it is known."""
    context_tokens: int = 4096
    sequences: int = 1
    kv_bits: float = KV_BITS

    @property
    def active_parameters(self) -> int:
        """Those that a token meets: how much memory is read for it."""
        return (None if self.model is None else self.model.active_parameters) or self.parameters

    @property
    def layers(self) -> int:
        known = None if self.model is None else self.model.layers
        return known or max(1, self.parameters // PARAMETERS_OF_A_LAYER)

    def footprint(self, quantisation: Quantisation) -> Footprint:
        model = self.model
        if model is None:
            return footprint(self.parameters, quantisation.bits)
        return footprint(
            self.parameters,
            quantisation.bits,
            layers=model.layers,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            kv_width=model.kv_width,
            windowed_layers=model.windowed_layers,
            window_tokens=model.window_tokens,
            context_tokens=self.context_tokens,
            kv_bits=self.kv_bits,
            sequences=self.sequences,
        )

    def need_bytes(self, quantisation: Quantisation) -> int:
        return self.footprint(quantisation).total_bytes
