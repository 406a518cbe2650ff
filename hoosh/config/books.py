"""Mistakes about what is counted: budgets, limits, prices, the audit key and the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from hoosh.access import Key
from hoosh.admission import ModelLimits
from hoosh.config.locate import KeyPath
from hoosh.config.mistakes import Mistakes, did_you_mean
from hoosh.config.naming import IMPOSSIBLE_NAME, Placed, check_names, is_name
from hoosh.config.schema import Audit, Budget, Config, PriceOverride, Storage
from hoosh.config.state import SQLITE
from hoosh.values.settlement import DEFAULT_POOL

__all__ = ["check_books"]

MICRO = 1_000_000
MAX_MICRO_USD = 2**64 - 1
MIN_SIGNING_KEY_BYTES = 16


def check_books(
    config: Config, placed: Mapping[type[Struct], Placed[Any]], providers: Iterable[str], mistakes: Mistakes
) -> None:
    """`providers` are the names that prices may be tied to."""
    budgets = placed.get(Budget, ())
    _check_pools(placed.get(Key, ()), [budget.name for _, budget in budgets], mistakes)
    for path, budget in budgets:
        _check_budget(path, budget, mistakes)
    check_names("budget", budgets, mistakes)
    _check_model_limits(placed.get(ModelLimits, ()), mistakes)
    _check_prices(placed.get(PriceOverride, ()), list(providers), mistakes)
    _check_audit(config.audit, mistakes)
    _check_storage(config.storage, mistakes)


def _check_budget(path: KeyPath, budget: Budget, mistakes: Mistakes) -> None:
    if not is_name(budget.name):
        mistakes.add((*path, "name"), IMPOSSIBLE_NAME)
    if mistakes.touch((*path, "unit")):
        return
    if budget.unit == "tokens" and budget.capacity != int(budget.capacity):
        advice = 'write a whole number of tokens, or unit = "usd" for money'
        mistakes.add((*path, "capacity"), f"is {budget.capacity}, and tokens are whole; {advice}")
    elif budget.unit == "usd" and budget.capacity * MICRO > MAX_MICRO_USD:
        mistakes.add((*path, "capacity"), f"is more than {MAX_MICRO_USD // MICRO} USD; write fewer")
    elif budget.unit == "usd" and 0 < budget.capacity * MICRO < 1:
        mistakes.add((*path, "capacity"), "is less than a millionth of a USD, the smallest amount here; write more")


def _check_pools(keys: Placed[Key], pools: list[str], mistakes: Mistakes) -> None:
    if mistakes.touch(("budgets",)):
        return  # one that could not be read is missing from `pools`: better silent than wrong
    known = dict.fromkeys([*pools, DEFAULT_POOL])
    for path, key in keys:
        if key.pool is not None and key.pool not in known:
            advice = f"{did_you_mean(key.pool, known)} Or add [[budgets]] with this name and a capacity"
            mistakes.add((*path, "pool"), f"there is no budget of this name; {advice}")


def _check_model_limits(models: Placed[ModelLimits], mistakes: Mistakes) -> None:
    """Case counts here: these are names of models."""
    first: dict[str, KeyPath] = {}
    for path, model in models:
        taken = first.setdefault(model.name, path)
        if taken is not path:
            line = mistakes.lines.of(taken)
            mistakes.add((*path, "name"), f"stands in line {line} already, and the first one counts; keep one")


def _check_prices(prices: Placed[PriceOverride], providers: list[str], mistakes: Mistakes) -> None:
    first: dict[tuple[str, str | None], KeyPath] = {}
    complete = not mistakes.touch(("providers",))
    for path, price in prices:
        if complete and price.provider is not None and price.provider not in providers:
            advice = did_you_mean(price.provider, providers)
            mistakes.add((*path, "provider"), f"no provider is called so; {advice}")
        taken = first.setdefault((price.model, price.provider), path)
        if taken is not path:
            line = mistakes.lines.of(taken)
            mistakes.add((*path, "model"), f"has a price already in line {line}, and the first counts; keep one")


def _check_audit(audit: Audit, mistakes: Mistakes) -> None:
    signing, previous = ("audit", "signing_key"), ("audit", "previous_key")
    advice = 'write signing_key = "$HOOSH_AUDIT_KEY" and set that variable to what `openssl rand -hex 32` prints'
    if audit.signing_key is None:
        if audit.enabled and not mistakes.touch(signing):
            mistakes.add(signing, f"is missing, and without it nobody can verify the chain; {advice}")
        elif audit.previous_key is not None and not mistakes.touch(signing):
            mistakes.add(previous, "needs a signing_key beside it: the key that takes over; add signing_key = ...")
        return
    if len(audit.signing_key.reveal().encode()) < MIN_SIGNING_KEY_BYTES:
        mistakes.add(signing, f"is shorter than {MIN_SIGNING_KEY_BYTES} bytes, and can be guessed; {advice}")
    if audit.previous_key == audit.signing_key:
        mistakes.add(previous, "is the signing_key itself; remove it, or give signing_key a new one")


def _check_storage(storage: Storage, mistakes: Mistakes) -> None:
    if storage.url.startswith(SQLITE) and os.path.isdir(storage.url.removeprefix(SQLITE)):
        mistakes.add(("storage", "url"), "names a directory; name a file in it, such as hoosh.db")
