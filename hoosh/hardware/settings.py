"""`[hardware]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["Hardware"]


class Hardware(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked for on this machine, and where."""

    models_dir: Annotated[str, Meta(min_length=1)] | None = None
    """Below it model files may be asked about by path; None: nowhere."""
