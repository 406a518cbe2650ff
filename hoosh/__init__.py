"""hoosh: an AI inference gateway on Trio.  One request is one nursery."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
