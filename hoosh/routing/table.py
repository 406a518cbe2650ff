"""Who may answer a request for a model?  A frozen table; each answer is worked out once per model name.

A model name is read in this order, and the first reading that gives a candidate is the only one:

    embedded      a name that an embedded route owns (`echo`): that route alone
    alias         a name from `[[models]]`: its targets, one after the other
    direct        `provider/model`, where a route is called `provider`
    plain         every route that matches the name

Routes are asked by `priority`, lowest first; at one priority local ones before remote ones, then as written.  A
provider with several keys has a route for each, `openai` and `openai#2`, all of the *group* `openai`: its name means
all of them, `openai#2` only that one.

A route matches by its globs (`*`, `?`, `[..]`, case-sensitive; none at all match everything) and, where its live
list is known, only what is on that list.  The globs of a *presumed* route are a guess that a known list replaces.

The answer is a plan (`plan.py`).  Routes of one priority are a step (two, where local ones come first); so are all
targets of an alias that has a strategy.  Each target of an alias without one is a step of its own, and nothing that is
asked for by one name is in a step with what is asked for by another.

Among those of one name, whoever would have to run a model that does not fit there comes after all others, whatever
their priorities: the last resort, not left out.

What is healthy, busy or dear is not known here.  Source: reference sections 4.1 and 4.2, with its weaknesses 43 to 46.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from itertools import groupby

from msgspec import Struct

from hoosh.errors import InvalidRequest, NoRoute
from hoosh.routing.plan import FIXED, NOBODY, Plan, join_plans, plan_of, put_behind
from hoosh.routing.settings import Strategy
from hoosh.values import CallKind, Target

__all__ = ["MAX_MODEL_CHARS", "Route", "RouteTable"]

MAX_MODEL_CHARS = 512
"""Longer model names are nobody's; they are refused before any glob sees them."""

_REMEMBERED = 4096


Part = tuple[Strategy | None, Sequence[Target]]
"""A step in the making."""


class Route(Struct, frozen=True):
    """One account of a provider, as far as routing must know it."""

    name: str
    priority: int = 10
    models: tuple[str, ...] = ()
    """Globs; none match every model."""
    enabled: bool = True
    local: bool = False
    presumed: bool = False
    """`models` is a guess from the catalogue, good until the provider's own list is known."""
    unlisted: tuple[str, ...] = ()
    """Names to show of a provider that has no list and whose `models` say nothing."""
    kinds: frozenset[CallKind] | None = None
    """What it can be asked for; None is everything."""
    embedded: bool = False
    """`models` are names that this route alone answers, and it answers no other."""
    group: str = ""
    """The provider, where it has several accounts; its own name otherwise."""
    weight: int = 1
    """Its share where requests are dealt out in turns."""


class RouteTable:
    """Built once per configuration, or whenever a provider's list of models changes."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        aliases: Mapping[str, Sequence[str]] | None = None,
        known: Mapping[str, frozenset[str]] | None = None,
        strategies: Mapping[str, Strategy] | None = None,
        local_first: bool = True,
        is_too_large: Callable[[Target], bool] | None = None,
        is_remote: Callable[[Target], bool] | None = None,
    ) -> None:
        """`known` are the lists of models by route, `strategies` those that aliases have of their own.

        `is_too_large` says of a target whether its model is known not to fit where it would run, `is_remote` whether
        its provider, though local, has it run elsewhere.
        """
        enabled = [route for route in routes if route.enabled]
        self._local_first = local_first
        # sorted() is stable: equals stay as they were written.
        self.routes = tuple(sorted(enabled, key=self._rank))
        self.aliases: Mapping[str, Sequence[str]] = dict(aliases or {})
        self._strategies = dict(strategies or {})
        self._is_too_large = is_too_large
        self._is_remote = is_remote
        self._known = dict(known or {})
        self._by_name = {route.name: route for route in self.routes}
        self._groups = _grouped(self.routes)
        self._owners = {model: route for route in self.routes if route.embedded for model in route.models}
        self._globs = {route.name: _compile(route.models) for route in self.routes}
        self._remembered: dict[tuple[str, CallKind, str | None, tuple[str, ...]], Plan] = {}

    def candidates(
        self,
        model: str,
        kind: CallKind = CallKind.CHAT,
        *,
        provider: str | None = None,
        models: tuple[str, ...] = (),
    ) -> tuple[Target, ...]:
        """Whom to ask for `model`, best first, and after them for each of `models`.  Raises as `plan` does."""
        return self.plan(model, kind, provider, models).targets

    def plan(
        self,
        model: str,
        kind: CallKind = CallKind.CHAT,
        provider: str | None = None,
        models: tuple[str, ...] = (),
    ) -> Plan:
        """Whom to ask, and who is as good as whom.  The same question has the same answer, to the object.

        With `provider` only that one is asked, and `model` is its own name for the model (or an alias).
        Raises NoRoute when there is nobody, and InvalidRequest where it is somebody's, but nobody of them does what
        `kind` asks for.  Of several names those that raise are left out, unless all do.
        """
        key = (model, kind, provider, models)
        found = self._remembered.get(key)
        if found is None:
            found = self._several((model, *models), kind, provider) if models else self._find(model, kind, provider)
            if len(self._remembered) >= _REMEMBERED:
                # The oldest goes.  A client that invents names can only cost itself the look-up.
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = found
        if not found.targets:
            raise NoRoute(model)
        return found

    def weight_of(self, provider: str) -> int:
        """1 of whoever has left."""
        route = self._by_name.get(provider)
        return 1 if route is None else route.weight

    def named(self, provider: str) -> tuple[Route, ...]:
        """The routes that go by this name: those of a group, or one."""
        routes = self._groups.get(provider)
        if routes is None:
            routes = (self._by_name[provider],) if provider in self._by_name else ()
        return routes

    # -- one name --------------------------------------------------------------------------------------------------

    def _several(self, names: Iterable[str], kind: CallKind, provider: str | None) -> Plan:
        plans: list[Plan] = []
        refusals: list[InvalidRequest] = []
        for name in names:
            try:
                plans.append(self.plan(name, kind, provider))
            except InvalidRequest as error:
                refusals.append(error)
        if not plans:
            raise refusals[0]
        return join_plans(plans)

    def _find(self, model: str, kind: CallKind, provider: str | None) -> Plan:
        if not 0 < len(model) <= MAX_MODEL_CHARS:
            raise NoRoute(f"{model[:40]}…" if model else model)
        parts = list(self._parts(model, provider))
        found = tuple(target for _, targets in parts for target in targets)
        able = frozenset(self._doing(kind, model, found, is_named=provider is not None))
        if not able:
            return NOBODY
        plan = plan_of((strategy, [target for target in targets if target in able]) for strategy, targets in parts)
        too_large = self._is_too_large
        if too_large is None or len(plan.targets) < 2:
            return plan
        return put_behind(plan, [target for target in plan.targets if too_large(target)])

    def _doing(self, kind: CallKind, model: str, found: tuple[Target, ...], *, is_named: bool) -> tuple[Target, ...]:
        able = tuple(target for target in found if self._does(target.provider, kind))
        if found and not able and (is_named or self._is_claimed(model, found) or not self._is_done(kind)):
            what = kind.value.replace("_", " ")
            message = f"No provider of the model `{model}` can be asked for {what}."
            raise InvalidRequest(message, param="model", code="unsupported_operation")
        return able

    def _is_claimed(self, asked: str, found: Iterable[Target]) -> bool:
        """Is it one of them's own model, by whatever word?  What takes any name has claimed none."""
        return asked in self.aliases or any(
            target.model != asked or self._globs[target.provider] is not None or target.provider in self._known
            for target in found
        )

    def _is_done(self, kind: CallKind) -> bool:
        """Does anybody in the house do that at all?"""
        return any(self._does(route.name, kind) for route in self.routes if not route.embedded)

    def _does(self, provider: str, kind: CallKind) -> bool:
        kinds = self._by_name[provider].kinds
        return kinds is None or kind in kinds

    def _parts(self, model: str, provider: str | None) -> Iterator[Part]:
        if model in self._owners:
            parts: Iterable[Part] = [(None, [Target(self._owners[model].name, model)])]
        elif model in self.aliases:
            parts = self._alias(model)
        elif provider is not None:
            return self._tiers(self._direct(provider, model))  # word for word: OpenRouter has an `openrouter/auto`
        else:
            parts = self._tiers(self._prefixed(model) or self._matching(model))
        return iter(parts if provider is None else self._only(provider, parts))

    def _only(self, provider: str, parts: Iterable[Part]) -> Iterator[Part]:
        names = {route.name for route in self.named(provider)}
        for strategy, targets in parts:
            yield strategy, [target for target in targets if target.provider in names]

    def _alias(self, name: str) -> Iterator[Part]:
        strategy = self._strategies.get(name)
        groups = [self._alias_target(text) for text in self.aliases[name]]
        if strategy is None:
            for targets in groups:
                yield from self._tiers(targets)
            return
        together = [target for targets in groups for target in targets]
        if strategy in FIXED or not self._local_first:
            yield strategy, together
        else:
            yield strategy, [target for target in together if self._is_local(target)]
            yield strategy, together  # whoever is in the first step is not in this one

    def _alias_target(self, text: str) -> list[Target]:
        """What one target of an alias stands for.  It names its provider with the owner's word: no glob is asked."""
        name, slash, model = text.partition("/")
        if slash and (routes := self.named(name)):
            return [Target(route.name, model) for route in routes]
        return self._matching(text)

    def _tiers(self, targets: Iterable[Target]) -> Iterator[Part]:
        """One step for each rank; they come in the order of the routes, which is nearly the order of the ranks."""
        for _, equals in groupby(sorted(targets, key=self._rank_of), key=self._rank_of):
            yield None, list(equals)

    def _rank_of(self, target: Target) -> tuple[int, bool]:
        priority = self._by_name[target.provider].priority
        return priority, self._local_first and not self._is_local(target)

    def _is_local(self, target: Target) -> bool:
        is_remote = self._is_remote
        return self._by_name[target.provider].local and not (is_remote is not None and is_remote(target))

    def _rank(self, route: Route) -> tuple[int, bool]:
        return route.priority, self._local_first and not route.local

    def _prefixed(self, model: str) -> list[Target]:
        """The reading `provider/model`, if there is one."""
        name, _, rest = model.partition("/")
        routes = self.named(name) if rest else ()
        if not routes:
            return []
        if all(rest not in self._known.get(route.name, (rest,)) for route in routes):
            # `openai/gpt-oss-120b` is no OpenAI model, but the full name of one that somebody else lists.
            listed = [target for target in self._matching(model) if model in self._known.get(target.provider, ())]
            if listed:
                return listed
        return self._direct(name, rest)

    def _direct(self, provider: str, model: str) -> list[Target]:
        """One provider by name: its globs count, its list does not (lists grow old; the upstream knows best)."""
        routes = self.named(provider) if model else ()
        return [Target(route.name, model) for route in routes if route.presumed or self._globs_match(route, model)]

    def _matching(self, model: str) -> list[Target]:
        return [Target(route.name, model) for route in self.routes if self.serves(route, model)]

    def serves(self, route: Route, model: str) -> bool:
        """Would `route` be among those asked for `model`, by its plain name?"""
        if route.embedded:
            return model in route.models
        if model in self._owners:
            return False
        known = self._known.get(route.name)
        if known is None:
            return self._globs_match(route, model)
        return model in known and (route.presumed or self._globs_match(route, model))

    def _globs_match(self, route: Route, model: str) -> bool:
        globs = self._globs[route.name]
        return globs is None or globs.match(model) is not None


def _grouped(routes: Iterable[Route]) -> dict[str, tuple[Route, ...]]:
    found: dict[str, tuple[Route, ...]] = {}
    for route in routes:
        name = route.group or route.name
        found[name] = (*found.get(name, ()), route)
    return found


def _compile(globs: Sequence[str]) -> re.Pattern[str] | None:
    """All globs as one pattern, or None for no restriction.  The semantics are those of `fnmatch.fnmatchcase`."""
    return re.compile("|".join(map(translate, globs))) if globs else None
