"""The steps in which weights are made smaller, with the bits that a weight really takes.

The reference's five steps are nominal: a whole model in that number format.  llama.cpp's types mix formats within one
model, so that a weight of `Q4_K_M` takes 4.89 bits, not 4; their numbers are what llama.cpp has measured on Llama 3.1
8B, and for the types it does not list there, what one block takes.  Of other models they are a few per cent off.

Sources: reference section 11.2; ggml-org/llama.cpp, tools/quantize/README.md (table of bits per weight) and
ggml/src/ggml-common.h (blocks: `block_q4_0` is 18 bytes for 32 weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

__all__ = ["BF16", "FP16", "FP32", "INT4", "INT8", "QUANTISATIONS", "Quantisation", "find_quantisation"]


class Quantisation(Struct, frozen=True):
    name: str
    """As answers spell it."""
    bits: float
    """For a weight, on average over the model."""


FP32: Final = Quantisation("FP32", 32)
FP16: Final = Quantisation("FP16", 16)
BF16: Final = Quantisation("BF16", 16)
INT8: Final = Quantisation("INT8", 8)
INT4: Final = Quantisation("INT4", 4)

_GGUF = """
Q8_0 8.5008    Q6_K 6.5633
Q5_K_M 5.7036  Q5_K_S 5.5704  Q5_1 6.0       Q5_0 5.5
Q4_K_M 4.8944  Q4_K_S 4.6672  Q4_1 5.0       Q4_0 4.5       IQ4_NL 4.6818   IQ4_XS 4.4597  MXFP4 4.25
Q3_K_L 4.2979  Q3_K_M 3.9960  Q3_K_S 3.6429  IQ3_M 3.7628   IQ3_S 3.6606    IQ3_XS 3.4977  IQ3_XXS 3.2548
Q2_K 3.1593    Q2_K_S 2.9697  IQ2_M 2.9294   IQ2_S 2.7403   IQ2_XS 2.5882   IQ2_XXS 2.3824
IQ1_M 2.1460   IQ1_S 2.0042   TQ2_0 2.0625   TQ1_0 1.6875
"""
_NAMES = {
    FP32: "fp32 f32 float32 none",
    FP16: "fp16 f16 float16",
    BF16: "bf16 bfloat16",
    INT8: "int8 i8 q8 fp8",
    INT4: "int4 i4 q4 nf4",
}
_words = _GGUF.split()
QUANTISATIONS: Mapping[str, Quantisation] = {
    **{name: step for step, names in _NAMES.items() for name in names.split()},
    **{name.casefold(): Quantisation(name, float(bits)) for name, bits in zip(_words[::2], _words[1::2], strict=True)},
}
"""By every name in small letters."""


def find_quantisation(name: str) -> Quantisation | None:
    """By any of its names, in letters of any size; None where it is nobody's."""
    return QUANTISATIONS.get(name.strip().replace("-", "_").casefold())
