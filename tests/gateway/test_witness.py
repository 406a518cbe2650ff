"""Of a stream that goes by, its digest is kept and no block of it."""

from __future__ import annotations

import hashlib

import pytest

from hoosh.gateway.witness import Witness


@pytest.mark.parametrize("blocks", [[], [b"one"], [b"one", b"two"], [b"one", b"two", b"three"]])
def test_the_digest_is_of_all_blocks_and_none_is_kept_once_there_are_two(blocks):
    witness = Witness(keeps_words=False)
    for block in blocks:
        witness.told(block)
    whole = hashlib.sha256(b"".join(blocks)).hexdigest()
    assert witness.details().reply_sha256 == (whole if blocks else None)
    assert witness.first == (b"one" if len(blocks) == 1 else b"")
