"""`[limits]`, and the limits that keys, providers and models carry."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["Limits", "ModelLimits", "Rates"]

Count = Annotated[int, Meta(ge=1)]


class Rates(Struct, frozen=True):
    """The limits of one key, provider or model.  None is no limit."""

    rpm: int | None = None
    """Requests in any 60 seconds."""
    tpm: int | None = None
    """Tokens (prompt and reply) in any 60 seconds."""
    max_concurrent: int | None = None

    @property
    def is_open(self) -> bool:
        return self.rpm is None and self.tpm is None and self.max_concurrent is None


class ModelLimits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[limits.models]]`: for all requests together that ask for a model whose name matches."""

    name: Annotated[str, Meta(min_length=1)]
    """A glob; the first that matches counts."""
    rpm: Count | None = None
    tpm: Count | None = None
    max_concurrent: Count | None = None


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[limits]`: what holds for each key (and for strangers together) that has no number of its own."""

    rpm: Count | None = None
    tpm: Count | None = None
    max_concurrent: Count | None = None
    models: tuple[ModelLimits, ...] = ()
