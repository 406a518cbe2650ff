"""One parrot for all tests: it takes longer to make than to load."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def parrot(tmp_path_factory) -> Path:
    pytest.importorskip("_pywhispercpp")
    from parrot_model import write_parrot

    return write_parrot(tmp_path_factory.mktemp("models") / "ggml-parrot.bin")
