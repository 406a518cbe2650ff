"""`python -m hoosh.api.openapi` prints docs/api.md."""

from __future__ import annotations

import sys

from hoosh import __version__
from hoosh.api.openapi import document, page

if __name__ == "__main__":
    sys.stdout.write(page(document(__version__)))
