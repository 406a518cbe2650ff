"""Whom to ask for a model, without asking: the gateway's route table, strategies and loads.  Nothing waits.

    Router([ProviderRoute("Ollama", model_patterns=["llama*"]), …], RoutingStrategy.ROUND_ROBIN).select("llama3.2")

Patterns are the gateway's own globs (docs/routing.md), wider than the original's.  Aliases belong to a configuration:
there are none here.  Source: reference sections 4 and 19.4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable
from enum import StrEnum
from random import Random

from msgspec import Struct

from hoosh.config import Provider
from hoosh.errors import NoRoute
from hoosh.routing import Chooser, Loads, Route, RouteTable, Routing
from hoosh.values import Target
from hoosh.values.secret import Secret

__all__ = ["ProviderRoute", "Router", "RoutingStrategy"]


class RoutingStrategy(StrEnum):
    PRIORITY = "priority"
    DIRECT = "direct"
    ROUND_ROBIN = "round_robin"
    LOWEST_LATENCY = "lowest_latency"
    LEAST_LOADED = "least_loaded"
    STICKY = "sticky"


class ProviderRoute(Struct, frozen=True):
    """One provider.  `provider` is its type; `base_url` defaults to the type's; `name` to the type's wire name."""

    provider: str
    priority: int = 10
    model_patterns: tuple[str, ...] = ()
    enabled: bool = True
    base_url: str = ""
    api_key: Secret | None = None
    max_tokens_limit: int | None = None
    rate_limit_rpm: int | None = None
    name: str = ""

    def as_provider(self) -> Provider:
        """As `[[providers]]` has it.  Raises ConfigError for a type that nobody knows."""
        return Provider(
            type=self.provider,
            name=self.name,
            base_url=self.base_url,
            api_key=self.api_key,
            priority=self.priority,
            models=tuple(self.model_patterns),
            enabled=self.enabled,
            max_tokens_limit=self.max_tokens_limit,
            rate_limit_rpm=self.rate_limit_rpm,
        )


class Router:
    """Names of routes must differ.  Whoever `set_unhealthy` names is not selected."""

    def __init__(
        self,
        routes: Iterable[ProviderRoute],
        strategy: RoutingStrategy = RoutingStrategy.PRIORITY,
        *,
        chance: Random | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigError for a type that nobody knows, ValueError for a name given twice."""
        self._chance = chance or Random()
        self._now_s = now_s
        self._loads = Loads()
        self._unhealthy: Container[str] = frozenset()
        self.reload(routes, strategy)

    def reload(self, routes: Iterable[ProviderRoute], strategy: RoutingStrategy) -> None:
        """Other routes; how fast they are is remembered.  Raises like the constructor, and then nothing has changed."""
        given = [(route, route.as_provider()) for route in routes]
        by_name = {provider.name: route for route, provider in given}
        if len(by_name) < len(given):
            raise ValueError("two routes have the same name; give one of them a `name`")
        table = RouteTable(map(_route, (provider for _, provider in given)))
        self._chooser = Chooser(
            Routing(strategy=strategy.value),
            self._loads,
            self._chance,
            weight_of=table.weight_of,
            price_of=lambda target: None,
        )
        self._table, self._by_name = table, by_name

    def routes(self) -> tuple[ProviderRoute, ...]:
        """Those that are enabled, best first."""
        return tuple(self._by_name[route.name] for route in self._table.routes)

    def set_unhealthy(self, names: Container[str]) -> None:
        """Names of routes.  Asked at each selection."""
        self._unhealthy = names

    def candidates(self, model: str, *, sticky_key: bytes = b"") -> tuple[ProviderRoute, ...]:
        """All that serve `model` and are well, best first; `sticky_key` decides for `STICKY`."""
        try:
            plan = self._table.plan(model)
        except NoRoute:
            return ()
        well = [target for target in plan.targets if target.provider not in self._unhealthy]
        ordered = self._chooser.order(well, plan, model=model, sticky_key=lambda: sticky_key, now_s=self._now_s())
        return tuple(self._by_name[target.provider] for target in ordered)

    def select(self, model: str) -> ProviderRoute | None:
        """The first of `candidates`; None where there is none."""
        return next(iter(self.candidates(model)), None)

    def report_latency(self, name: str, model: str, latency_ms: float) -> None:
        """How long the route called `name` took to begin its answer, for `LOWEST_LATENCY` and `LEAST_LOADED`."""
        load = self._loads.of(Target(name, model))
        load.begin()
        load.end(self._now_s(), latency_ms / 1000, failed=False)


def _route(provider: Provider) -> Route:
    return Route(
        provider.name,
        priority=provider.priority,
        models=provider.models,
        enabled=provider.enabled,
        local=provider.is_local,
        weight=provider.weight,
        kinds=provider.kind.kinds,
    )
