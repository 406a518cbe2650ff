"""`python -m hoosh` is `hoosh-trio`."""

from __future__ import annotations

from hoosh.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    raise SystemExit(main())
