"""Deployments → `[[providers]]` and what each deployment is called there: `provider/model`.

    same type, address and settings, same key          one provider, with all their models
    the same but for the key, for the same names       accounts of one provider: `keys = [...]`
    limits of its own                                  a provider of its own: hoosh counts for each provider

`model_name: openai/*` with `model: openai/*` needs no alias: a provider called `openai` answers `openai/ANYTHING`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from hoosh.config.naming import is_name
from hoosh.migration.deployments import Deployment
from hoosh.migration.toml import Table, Value, table_text

__all__ = ["Providers", "provide"]

ECHO = "echo"


class Providers(Struct, frozen=True):
    tables: tuple[Table, ...]
    targets: Mapping[str, tuple[Target, ...]]
    """By the name that clients ask for, best first.  Names with a `*` are not among them."""


class Target(Struct, frozen=True):
    text: str
    """`provider/model`."""
    order: int
    weight: int


class _Draft:
    """A provider in the making."""

    def __init__(self, provider: Mapping[str, Value], key: str) -> None:
        self.provider = provider
        self.keys = [key] if key else []
        self.models: dict[str, None] = {}
        """Globs, in order; "*" is every model."""
        self.deployments: list[Deployment] = []
        self.wanted = ""
        """The name it must have."""
        self.name = ""

    @property
    def fingerprint(self) -> tuple[str, tuple[str, ...], frozenset[str], str]:
        """Two that agree in it, each with a key of its own, are accounts of one provider."""
        names = frozenset(each.name for each in self.deployments)
        return table_text("", self.provider), tuple(sorted(self.models)), names, self.wanted

    def table(self) -> Table:
        first, *others = self.keys or [""]
        accounts: dict[str, Value] = {"keys": self.keys} if others else {"api_key": first} if first else {}
        models: dict[str, Value] = {} if "*" in self.models else {"models": list(self.models)}
        settings = dict(self.provider)
        head = {"type": settings.pop("type"), "name": self.name}
        if "base_url" in settings:
            head["base_url"] = settings.pop("base_url")
        return {**head, **accounts, **models, **settings}


def provide(deployments: Iterable[Deployment]) -> Providers:
    drafts = _accounts(_grouped(deployments))
    _name(drafts)
    targets: dict[str, dict[str, Target]] = {}
    for draft in drafts:
        for each in draft.deployments:
            if "*" not in each.name:
                text = f"{draft.name}/{each.model}"
                target = Target(text, each.order, int(str(each.provider.get("weight", 1))))
                targets.setdefault(each.name, {}).setdefault(text, target)
    best_first = {name: tuple(sorted(found.values(), key=lambda each: each.order)) for name, found in targets.items()}
    return Providers(tuple(draft.table() for draft in drafts), best_first)


def _grouped(deployments: Iterable[Deployment]) -> list[_Draft]:
    drafts: dict[tuple[str, str, str, str], _Draft] = {}
    for each in deployments:
        glob = _wildcard(each)
        if glob is None:
            continue
        wanted, model = glob
        alone = each.model if each.is_limited else ""
        identity = (table_text("", each.provider), each.key, wanted, alone)
        draft = drafts.setdefault(identity, _Draft(each.provider, each.key))
        draft.wanted = wanted
        draft.models[model] = None
        draft.deployments.append(each)
    return list(drafts.values())


def _wildcard(each: Deployment) -> tuple[str, str] | None:
    """The name that its provider must have, and its glob of models; None where a `*` means something we cannot say."""
    if "*" not in each.name and "*" not in each.model:
        return "", each.model
    prefix, slash, rest = each.name.partition("/")
    if slash and rest == each.model and is_name(prefix) and prefix != ECHO:
        return prefix, each.model
    if each.name in (each.model, "*"):
        return "", each.model
    each.section.say("model", "has a `*` that hoosh cannot follow; write an alias in [[models]] for each model")
    return None


def _accounts(drafts: list[_Draft]) -> list[_Draft]:
    kept: dict[object, _Draft] = {}
    for draft in drafts:
        # Those without a key are nobody's account.
        first = kept.setdefault(draft.fingerprint if draft.keys else id(draft), draft)
        if first is not draft:
            first.keys += draft.keys
    return list(kept.values())


def _name(drafts: list[_Draft]) -> None:
    """By its type or vendor, with a number where that is taken; so that no target looks like somebody else's alias."""
    asked_for = {each.name for draft in drafts for each in draft.deployments}
    taken = {ECHO}
    for draft in sorted(drafts, key=lambda draft: not draft.wanted):
        base = draft.wanted or draft.deployments[0].called
        number, name = 1, base
        while name.casefold() in taken or (not draft.wanted and _looks_like_an_alias(name, draft, asked_for)):
            number += 1
            name = f"{base}-{number}"
        if draft.wanted and name != draft.wanted:
            draft.deployments[0].section.say(
                "model", f"shares `{base}/` with another; this one is asked as `{name}/...`"
            )
        draft.name = name
        taken.add(name.casefold())


def _looks_like_an_alias(name: str, draft: _Draft, asked_for: set[str]) -> bool:
    return any(f"{name}/{model}" in asked_for for model in draft.models)
