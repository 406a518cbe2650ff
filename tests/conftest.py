"""For all tests: Hypothesis measures no time, and prints what reproduces a failure; Trio throws the same dice."""

import os

import pytest
from hypothesis import settings
from trio._core import _run

from hoosh.testing.seeds import seed_of_run

settings.register_profile("hoosh", deadline=None, print_blob=True)
settings.load_profile("hoosh")
SEED = seed_of_run()


@pytest.fixture(autouse=True)
def _same_turns() -> None:
    """Whose turn it is Trio leaves to chance.  What only some orders break is found with `HOOSH_SEED=random`."""
    _run._r.seed(SEED)
    if "HOOSH_SEED" in os.environ:
        print(f"HOOSH_SEED={SEED}")
