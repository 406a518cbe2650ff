"""The seed of what a test does by chance: the same in every run, another where somebody asks for it.

HOOSH_SEED=n           that one
HOOSH_SEED=random      one that nobody has seen; it is printed
"""

from __future__ import annotations

import os
from random import randrange

__all__ = ["seed_of_run"]

NAME = "HOOSH_SEED"
EVERY_RUN = 556_000
"""A suite must be certain: it finds what has broken, and looking for what nobody has thought of is another's work."""


def seed_of_run() -> int:
    """One for all, child processes too: what was chosen by chance stands in the environment from then on."""
    wanted = os.environ.get(NAME) or str(EVERY_RUN)
    if wanted == "random":
        os.environ[NAME] = wanted = str(randrange(10**6))
        print(f"{NAME}={wanted}")
    return int(wanted)
