"""The seed of what a test does by chance: the same in every run, another where somebody asks for it.

HOOSH_SEED=n           that one
HOOSH_SEED=random      one that nobody has seen; it is printed
"""

from __future__ import annotations

import os
from random import randrange

__all__ = ["seed_of_run"]

EVERY_RUN = 556_000
"""A suite must be certain: it finds what has broken, and looking for what nobody has thought of is another's work."""


def seed_of_run() -> int:
    """Prints it, so that a run can be repeated."""
    wanted = os.environ.get("HOOSH_SEED") or str(EVERY_RUN)
    seed = randrange(10**6) if wanted == "random" else int(wanted)
    print(f"HOOSH_SEED={seed}")
    return seed
