"""Who may answer a request for a model?  A frozen table; each answer is worked out once per model name.

A model name is read in this order, and the first reading that gives a candidate is the only one:

    embedded      a name that an embedded route owns (`echo`): that route alone
    alias         a name from `[[models]]`: its targets, one after the other
    direct        `provider/model`, where a route is called `provider`
    plain         every route that matches the name

Routes are asked by `priority`, lowest first; at one priority local ones before remote ones, then as written.
A route matches by its globs (`*`, `?`, `[..]`, case-sensitive; none at all match everything) and, where its live
list is known, only what is on that list.  The globs of a *presumed* route are a guess that a known list replaces.

What is healthy, busy or dear is not known here.  Source: reference sections 4.1 and 4.2, with its weaknesses 43 to 46.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate

from msgspec import Struct

from hoosh.errors import InvalidRequest, NoRoute
from hoosh.values import CallKind, Target

__all__ = ["MAX_MODEL_CHARS", "Route", "RouteTable"]

MAX_MODEL_CHARS = 512
"""Longer model names are nobody's; they are refused before any glob sees them."""

_REMEMBERED = 4096


class Route(Struct, frozen=True):
    """One provider, as far as routing must know it."""

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


class RouteTable:
    """Built once per configuration, or whenever a provider's list of models changes."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        aliases: Mapping[str, Sequence[str]] | None = None,
        known: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        enabled = [route for route in routes if route.enabled]
        # sorted() is stable: equals stay as they were written.
        self.routes = tuple(sorted(enabled, key=lambda route: (route.priority, not route.local)))
        self.aliases: Mapping[str, Sequence[str]] = dict(aliases or {})
        self._known = dict(known or {})
        self._by_name = {route.name: route for route in self.routes}
        self._owners = {model: route for route in self.routes if route.embedded for model in route.models}
        self._globs = {route.name: _compile(route.models) for route in self.routes}
        self._remembered: dict[tuple[str, CallKind, str | None], tuple[Target, ...]] = {}

    def candidates(
        self, model: str, kind: CallKind = CallKind.CHAT, *, provider: str | None = None
    ) -> tuple[Target, ...]:
        """Whom to ask for `model`, best first.  Raises NoRoute when there is nobody.

        With `provider` only that one is asked, and `model` is its own name for the model (or an alias).
        Raises InvalidRequest where it is somebody's, but nobody of them does what `kind` asks for.
        """
        key = (model, kind, provider)
        found = self._remembered.get(key)
        if found is None:
            if not 0 < len(model) <= MAX_MODEL_CHARS:
                raise NoRoute(f"{model[:40]}…" if model else model)
            found = self._doing(kind, model, self._resolve(model, provider), is_named=provider is not None)
            if len(self._remembered) >= _REMEMBERED:
                # The oldest goes.  A client that invents names can only cost itself the look-up.
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = found
        if not found:
            raise NoRoute(model)
        return found

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

    def _resolve(self, model: str, provider: str | None) -> tuple[Target, ...]:
        if model in self._owners:
            found = [Target(self._owners[model].name, model)]
        elif model in self.aliases:
            found = [target for text in self.aliases[model] for target in self._alias_target(text)]
        elif provider is not None:
            return tuple(self._direct(provider, model))  # word for word: OpenRouter has an `openrouter/auto`
        else:
            found = self._prefixed(model) or self._matching(model)
        if provider is not None:
            found = [target for target in found if target.provider == provider]
        return tuple(dict.fromkeys(found))

    def _alias_target(self, text: str) -> list[Target]:
        """What one target of an alias stands for.  It names its provider with the owner's word: no glob is asked."""
        name, slash, model = text.partition("/")
        if slash and name in self._by_name:
            return [Target(name, model)]
        return self._matching(text)

    def _prefixed(self, model: str) -> list[Target]:
        """The reading `provider/model`, if there is one."""
        name, _, rest = model.partition("/")
        if not rest or name not in self._by_name:
            return []
        if rest not in self._known.get(name, (rest,)):
            # `openai/gpt-oss-120b` is no OpenAI model, but the full name of one that somebody else lists.
            listed = [target for target in self._matching(model) if model in self._known.get(target.provider, ())]
            if listed:
                return listed
        return self._direct(name, rest)

    def _direct(self, provider: str, model: str) -> list[Target]:
        """One provider by name: its globs count, its list does not (lists grow old; the upstream knows best)."""
        route = self._by_name.get(provider)
        if route is None or not model:
            return []
        if route.presumed or self._globs_match(route, model):
            return [Target(provider, model)]
        return []

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


def _compile(globs: Sequence[str]) -> re.Pattern[str] | None:
    """All globs as one pattern, or None for no restriction.  The semantics are those of `fnmatch.fnmatchcase`."""
    return re.compile("|".join(map(translate, globs))) if globs else None
