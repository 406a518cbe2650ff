"""Whom another configuration concerns: each room is told in its own way, and so it is undone.

What lives in a room (usage, health, answers that are kept) is carried over in both directions.  A room that may lose
something by being told, such as a cache that is switched off, comes late: few can fail behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from hoosh.config import Config, Server
from hoosh.gateway.steps import Step
from hoosh.routing import Strategy

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["lets_all_in", "steps_of_rooms", "strategies_in", "turns_of"]


Tell = Callable[[Config], object]


def steps_of_rooms(gateway: Gateway, config: Config) -> Iterator[Step]:
    """`config` instead of the one that runs.  What is as before is left alone where being told would cost something."""
    before = gateway.snapshot.config

    def told(room: str, tell: Tell, *, of: Tell | None = None) -> Iterator[Step]:
        """Where `of` is given, only of what it sees in a configuration."""
        if of is None or of(config) != of(before):
            yield Step(room, partial(tell, config), partial(tell, before))

    # These two may refuse what they are told.
    yield from told("telemetry", lambda config: gateway.traces.configure(config.telemetry))
    yield from told("webhooks", lambda config: gateway.webhooks.configure(config.webhooks))
    yield from told("facts", lambda config: gateway.facts.configure(config.alias_facts()))
    yield from told("health", lambda config: gateway.board.configure(config.health))
    yield from told("probes", lambda config: gateway.supervisor.configure(config.health))
    yield from told("hardware", lambda config: gateway.hardware.configure(config.hardware))
    yield from told("speech", lambda config: gateway.speech.configure(config.whisper))
    yield from told("routing", lambda config: gateway.chooser.configure(config.routing))
    yield from told("fitting", lambda config: gateway.fitting.configure(config.routing))
    yield from told("dispatch", partial(_tell_dispatcher, gateway))
    yield from told("events", lambda config: gateway.events.configure(config.events))
    yield from told("log", lambda config: gateway.log.configure(config.logging))
    yield from told("books", gateway.books.configure)
    turnstile, shedder = gateway.turnstile, gateway.shedder
    yield from told("queue", lambda config: turnstile.configure(*turns_of(config.server)), of=_turns_in)
    yield from told("shedding", lambda config: shedder.configure(config.server.max_lag_ms), of=_lag_in)
    yield from told("uploads", lambda config: gateway.uploads.configure(max_bytes=config.server.max_uploads_bytes))
    yield from told("admission", partial(_let_in, gateway))
    yield from told("cache", lambda config: gateway.caching.configure(config.cache), of=lambda config: config.cache)


def _tell_dispatcher(gateway: Gateway, config: Config) -> None:
    total_s = config.server.request_timeout_s
    gateway.dispatcher.configure(config.routing, config.retry, strategies_in(config), total_s=total_s)


def _let_in(gateway: Gateway, config: Config) -> None:
    gateway.has_room = lets_all_in(config.server)


def _turns_in(config: Config) -> tuple[int | None, int, float]:
    return turns_of(config.server)


def _lag_in(config: Config) -> int | None:
    return config.server.max_lag_ms


def lets_all_in(server: Server) -> bool:
    """However many ask: nobody waits for a turn, nobody is turned away."""
    return server.max_concurrent is None and server.max_lag_ms is None


def turns_of(server: Server) -> tuple[int | None, int, float]:
    """How many requests at once, how many may wait, and how long."""
    return server.max_concurrent, server.max_queue, min(server.queue_timeout_s, server.request_timeout_s)


def strategies_in(config: Config) -> tuple[Strategy, ...]:
    """All that are in use."""
    return config.routing.strategy, *(each.strategy for each in config.models if each.strategy)
