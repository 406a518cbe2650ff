"""How many tokens a second a device writes: an estimate, for comparing plans.

Writing a token reads every weight that it meets once, so memory sets the pace.  Where the bandwidth of a device is
known, six tenths of it are reckoned with: llama.cpp reaches 44 to 58 % with quantised weights on an M1 Max (ggml-org/
llama.cpp, issue 27525) and 85 % on an M4 (brand-o/normiebench, issue 3).  Where it is not, the reference's formula with
its multiples of a processor's speed counts, which guesses far too low for GPUs.

Source: reference section 11.5.
"""

from __future__ import annotations

from hoosh.catalogue.devices import multiplier_of
from hoosh.hardware.quantisation import Quantisation
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Device

__all__ = ["EFFICIENCY", "tokens_per_s"]

EFFICIENCY = 0.6


def tokens_per_s(device: Device, workload: Workload, quantisation: Quantisation) -> float:
    """Of one request alone, on this device alone."""
    active = max(1, workload.active_parameters)
    if device.bandwidth_gb_s:
        return EFFICIENCY * device.bandwidth_gb_s * 1e9 / (active * quantisation.bits / 8)
    return 1e9 / active * multiplier_of(device.kind, device.cores) * 32 / quantisation.bits
