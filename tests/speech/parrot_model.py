"""A whisper model of two megabytes that says the same words about whatever it hears: real segments, known text.

    position of the decoder ──embedding──▶ one axis each ──no layer changes it──▶ the token that lies on that axis

Its layers are there and add nothing.  The token embedding puts one token on each of the first axes: the n-th thing said
depends on the position alone.  A prompt moves the positions on, and so changes what is said.

Format: whisper.cpp, `models/convert-pt-to-ggml.py` and `whisper_model_load`.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SAYS", "write_parrot"]

STATE = 16
"""Axes: the last is for positions at which nothing is said."""
AUDIO_CTX, TEXT_CTX, MELS, VOCABULARY = 1500, 448, 80, 51865
END, BEGIN, GERMAN, FIRST_TIME = 50257, 50258, 50261, 50364
"""Of the multilingual vocabulary; a time is FIRST_TIME and so many steps of 20 ms."""
WORDS = (b" Guten", b" Tag", b",", b" liebe", b" K\xc3", b"\xb6", b"nige", b".", b" ", b" -", b" '", b"Hush")
"""Two that a character goes through; three that the library looks for; one for prompts."""
SAYS = (("Guten Tag,", 0.0, 2.0), ("liebe Könige.", 2.0, 4.0))
"""About each 30 seconds: text, start and end in seconds."""


def write_parrot(path: Path, *, multilingual: bool = True) -> Path:
    """Write the model to `path`."""
    with path.open("wb") as file:
        ints = (VOCABULARY - (not multilingual), AUDIO_CTX, STATE, 1, 1, TEXT_CTX, STATE, 1, 1, MELS, 1)
        file.write(struct.pack("<I11i", 0x67676D6C, *ints))
        file.write(struct.pack("<2i", MELS, 201) + np.zeros((MELS, 201), np.float32).tobytes())
        file.write(struct.pack("<i", 256))
        for number in range(256):
            word = WORDS[number] if number < len(WORDS) else b"<%d>" % number
            file.write(struct.pack("<I", len(word)) + word)
        for name, tensor in _tensors(VOCABULARY - (not multilingual)).items():
            encoded = name.encode()
            file.write(struct.pack("<3i", tensor.ndim, len(encoded), int(tensor.dtype == np.float16)))
            file.write(struct.pack(f"<{tensor.ndim}i", *reversed(tensor.shape)) + encoded + tensor.tobytes())
    return path


def _said() -> dict[int, int]:
    """Position of the decoder → the token it is followed by."""
    after_0_s, after_2_s, after_4_s = FIRST_TIME, FIRST_TIME + 100, FIRST_TIME + 200
    words = [after_0_s, 0, 1, 2, after_2_s, after_2_s, 3, 4, 5, 6, 7, after_4_s, END]
    return {0: GERMAN, **dict(enumerate(words, 2))}


def _tensors(vocabulary: int) -> dict[str, Any]:
    half, full = np.float16, np.float32
    said = _said()
    positions = np.zeros((TEXT_CTX, STATE), full)
    tokens = np.zeros((vocabulary, STATE), half)
    for position in range(TEXT_CTX):
        axis = position if position in said else STATE - 1
        positions[position, axis] = 1000.0
    for position, token in said.items():
        tokens[token, position] = 1.0
    tokens[END, STATE - 1] = 1.0
    flat, bias, square = np.ones(STATE, full), np.zeros(STATE, full), np.zeros((STATE, STATE), half)
    made: dict[str, Any] = {
        "encoder.positional_embedding": np.zeros((AUDIO_CTX, STATE), full),
        "encoder.conv1.weight": np.zeros((STATE, MELS, 3), half),
        "encoder.conv1.bias": np.zeros((STATE, 1), full),
        "encoder.conv2.weight": np.zeros((STATE, STATE, 3), half),
        "encoder.conv2.bias": np.zeros((STATE, 1), full),
        "encoder.ln_post.weight": flat,
        "encoder.ln_post.bias": bias,
        "decoder.positional_embedding": positions,
        "decoder.token_embedding.weight": tokens,
        "decoder.ln.weight": flat * 8,
        "decoder.ln.bias": bias,
    }
    for side in ("encoder", "decoder"):
        block = f"{side}.blocks.0"
        for attention in ("attn",) if side == "encoder" else ("attn", "cross_attn"):
            made |= {f"{block}.{attention}_ln.weight": flat, f"{block}.{attention}_ln.bias": bias}
            for part in ("query", "key", "value", "out"):
                made[f"{block}.{attention}.{part}.weight"] = square
                if part != "key":
                    made[f"{block}.{attention}.{part}.bias"] = bias
        made |= {f"{block}.mlp_ln.weight": flat, f"{block}.mlp_ln.bias": bias}
        made |= {
            f"{block}.mlp.0.weight": np.zeros((4 * STATE, STATE), half),
            f"{block}.mlp.0.bias": np.zeros(4 * STATE, full),
        }
        made |= {f"{block}.mlp.2.weight": np.zeros((STATE, 4 * STATE), half), f"{block}.mlp.2.bias": bias}
    return made
