"""Budgets over HTTP: for programs that spend from a pool without sending their requests through the gateway.

The reference's routes and field names, and beside them reservation ids, their time to live, and `release`.  What a
client sends is bounded here; who may do what is decided at the desk behind (`gateway.tokens`).

Source: reference sections 2.10 and 5, with its weakness 23; product section 4.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from msgspec import Struct
from quart import Blueprint, Response

from hoosh.api.face import json_response, read_body, require
from hoosh.errors import InvalidRequest, NoSuchEntry, UnknownPool
from hoosh.values import Caller

__all__ = ["HasTokens", "Tokens", "token_routes"]

MAX_AMOUNT = 2**64 - 1
"""A number that the reference takes, though no pool has so much."""
MAX_ACTUAL = 2**53
"""More nobody can have used: beyond it JSON's readers disagree about what a number is."""
TTL_S = 600.0
MAX_TTL_S = 86_400


class Tokens(Protocol):
    """The desk.  What it returns is answered as JSON.  Raises UnknownPool, NoSuchEntry, Forbidden, Refused."""

    async def check(self, caller: Caller, pool: str, amount: int) -> Struct: ...

    async def reserve(self, caller: Caller, pool: str, amount: int, ttl_s: float) -> Struct: ...

    async def report(
        self, caller: Caller, actual: int, *, identity: str | None = None, pool: str | None = None, reserved: int = 0
    ) -> Struct: ...

    async def release(self, caller: Caller, identity: str) -> Struct: ...

    def pools(self, caller: Caller) -> Struct: ...


class HasTokens(Protocol):
    """The gateway, as far as these routes know it."""

    @property
    def tokens(self) -> Tokens: ...


class _Check(Struct):
    pool: str
    tokens: int


class _Reserve(Struct):
    pool: str
    tokens: int
    ttl_s: float = TTL_S


class _Report(Struct):
    actual: int
    id: str | None = None
    pool: str | None = None
    reserved: int = 0


class _Release(Struct):
    id: str


def token_routes(gateway: HasTokens) -> Blueprint:
    routes = Blueprint("tokens", __name__)

    @routes.post("/v1/tokens/check")
    async def check() -> Response:
        """Would a pool pay for so many tokens?"""
        caller, asked = require("inference"), await read_body(_Check)
        _bound("tokens", asked.tokens, 0, MAX_AMOUNT)
        return await _answer(gateway.tokens.check(caller, asked.pool, asked.tokens))

    @routes.post("/v1/tokens/reserve")
    async def reserve() -> Response:
        """Keep tokens of a pool for a while."""
        caller, asked = require("inference"), await read_body(_Reserve)
        _bound("tokens", asked.tokens, 1, MAX_AMOUNT)
        _bound("ttl_s", asked.ttl_s, 1, MAX_TTL_S)
        return await _answer(gateway.tokens.reserve(caller, asked.pool, asked.tokens, asked.ttl_s))

    @routes.post("/v1/tokens/report")
    async def report() -> Response:
        """Say what was used, of a reservation or without one."""
        caller, asked = require("inference"), await read_body(_Report)
        _bound("actual", asked.actual, 0, MAX_ACTUAL)
        _bound("reserved", asked.reserved, 0, MAX_AMOUNT)
        if asked.id is None and asked.pool is None:
            raise InvalidRequest("Name the reservation by its `id`, or the `pool`.", param="id")
        pool, reserved = (asked.pool, asked.reserved) if asked.id is None else (None, 0)
        return await _answer(
            gateway.tokens.report(caller, asked.actual, identity=asked.id, pool=pool, reserved=reserved)
        )

    @routes.post("/v1/tokens/release")
    async def release() -> Response:
        """Give a reservation back."""
        caller, asked = require("inference"), await read_body(_Release)
        return await _answer(gateway.tokens.release(caller, asked.id))

    @routes.get("/v1/tokens/pools")
    async def pools() -> Response:
        """The pools that the caller may use, with their balances."""
        return json_response(gateway.tokens.pools(require("inference")))

    return routes


async def _answer(said: Awaitable[Struct]) -> Response:
    try:
        return json_response(await said)
    except UnknownPool as error:
        # Elsewhere a pool is a part of a request, and one that could be left out; here it is what is asked for.
        raise NoSuchEntry(str(error), param="pool", code="unknown_pool") from None


def _bound(name: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        message = f"Invalid '{name}': must be a number from {low} to {high}."
        raise InvalidRequest(message, param=name, code="invalid_value")
