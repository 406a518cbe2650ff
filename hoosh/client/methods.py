"""From a function that builds a question to a method that asks it: once for each face, with the function's signature.

    def check(pool: str, tokens: int) -> Question[Checked]: ...

    class Tokens(Desk):      check = Asks(check)         await client.tokens.check("team", 100)
    class SyncTokens(Desk):  check = SyncAsks(check)     client.tokens.check("team", 100)

So names, arguments, types and documentation of both faces are written in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from hoosh.client.blocking import SyncCarrier
from hoosh.client.question import Question
from hoosh.client.streams import ChatStream, SyncChatStream
from hoosh.client.waiting import AsyncCarrier

__all__ = ["Asks", "Desk", "Streams", "SyncAsks", "SyncDesk", "SyncStreams"]

P = ParamSpec("P")
T = TypeVar("T")


class Desk:
    """Whoever has methods that wait."""

    def __init__(self, carrier: AsyncCarrier) -> None:
        self._carrier = carrier


class SyncDesk:
    """Whoever has methods that block."""

    def __init__(self, carrier: SyncCarrier) -> None:
        self._carrier = carrier


class Asks(Generic[P, T]):
    def __init__(self, build: Callable[P, Question[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, desk: None, owner: type) -> Self: ...
    @overload
    def __get__(self, desk: Desk, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, desk: Desk | None, owner: type) -> Self | Callable[P, Coroutine[Any, Any, T]]:
        if desk is None:
            return self
        build, carrier = self._build, desk._carrier

        @wraps(build)
        async def ask(*args: P.args, **kwargs: P.kwargs) -> T:
            return await carrier.ask(build(*args, **kwargs))

        return ask


class SyncAsks(Generic[P, T]):
    def __init__(self, build: Callable[P, Question[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, desk: None, owner: type) -> Self: ...
    @overload
    def __get__(self, desk: SyncDesk, owner: type) -> Callable[P, T]: ...
    def __get__(self, desk: SyncDesk | None, owner: type) -> Self | Callable[P, T]:
        if desk is None:
            return self
        build, carrier = self._build, desk._carrier

        @wraps(build)
        def ask(*args: P.args, **kwargs: P.kwargs) -> T:
            return carrier.ask(build(*args, **kwargs))

        return ask


class Streams(Generic[P]):
    def __init__(self, build: Callable[P, Question[None]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, desk: None, owner: type) -> Self: ...
    @overload
    def __get__(self, desk: Desk, owner: type) -> Callable[P, ChatStream]: ...
    def __get__(self, desk: Desk | None, owner: type) -> Self | Callable[P, ChatStream]:
        if desk is None:
            return self
        build, carrier = self._build, desk._carrier

        @wraps(build)
        def open_stream(*args: P.args, **kwargs: P.kwargs) -> ChatStream:
            return ChatStream(carrier, build(*args, **kwargs))

        return open_stream


class SyncStreams(Generic[P]):
    def __init__(self, build: Callable[P, Question[None]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, desk: None, owner: type) -> Self: ...
    @overload
    def __get__(self, desk: SyncDesk, owner: type) -> Callable[P, SyncChatStream]: ...
    def __get__(self, desk: SyncDesk | None, owner: type) -> Self | Callable[P, SyncChatStream]:
        if desk is None:
            return self
        build, carrier = self._build, desk._carrier

        @wraps(build)
        def open_stream(*args: P.args, **kwargs: P.kwargs) -> SyncChatStream:
            return SyncChatStream(carrier, build(*args, **kwargs))

        return open_stream
