"""Providers to be asked one by one, each under one interface: a gateway of one's own, without a socket, before them.

    registry = ProviderRegistry()
    registry.register_from_route(ProviderRoute("Ollama"))
    async with registry:                                    opens a gateway before those registered; Trio only
        answer = await registry.require("ollama").infer(InferenceRequest(model="llama3.2", prompt="salam"))

So what asks them is the gateway's own road: dialects, deadlines, retries, limits.  `LlmProvider` is an interface that
other programs may fill, too.  Source: reference section 19.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

from hoosh.api.embed import transport
from hoosh.catalogue.providers import ProviderType
from hoosh.client import ChatStream, Embeddings, HooshClient, InferenceRequest, InferenceResponse, ModelInfo
from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.errors import NoRoute
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.gateway import Gateway
from hoosh.reference.routes import ProviderRoute

__all__ = ["LlmProvider", "ProviderRegistry"]


class LlmProvider(Protocol):
    """Somebody who can be asked.  What waits raises HooshError."""

    @property
    def provider_type(self) -> ProviderType: ...

    async def infer(self, request: InferenceRequest) -> InferenceResponse: ...

    def infer_stream(self, request: InferenceRequest) -> ChatStream:
        """To be entered: `async with provider.infer_stream(request) as stream`."""
        ...

    async def list_models(self) -> Sequence[ModelInfo]: ...

    async def health_check(self) -> bool: ...

    async def embeddings(self, model: str, texts: Sequence[str]) -> Embeddings: ...


class _Registered:
    """A provider of the registry's gateway."""

    def __init__(self, provider: Provider, client: HooshClient, gateway: Gateway) -> None:
        self._provider = provider
        self._client = client
        self._gateway = gateway

    @property
    def provider_type(self) -> ProviderType:
        return self._provider.kind

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        return await self._client.infer(request, provider=self._provider.name)

    def infer_stream(self, request: InferenceRequest) -> ChatStream:
        return self._client.infer_stream(request, provider=self._provider.name)

    async def list_models(self) -> Sequence[ModelInfo]:
        """Those of the gateway's list that this provider serves by its plain name."""
        table = self._gateway.snapshot.routes
        names = {route.name for route in table.named(self._provider.name)}
        served = [route for route in table.routes if route.name in names]
        models = await self._client.models()
        return [model for model in models if any(table.serves(route, model.id) for route in served)]

    async def health_check(self) -> bool:
        """What the gateway's own probes have found; a provider that nobody has probed yet is well."""
        states = {state.provider: state.status for state in await self._client.providers()}
        return states.get(self._provider.name) in ("healthy", "unknown")

    async def embeddings(self, model: str, texts: Sequence[str]) -> Embeddings:
        return await self._client.embed(texts, model=model, provider=self._provider.name)


class ProviderRegistry:
    """Providers by name.  Register first, then enter."""

    def __init__(self) -> None:
        self._wanted: dict[str, Provider] = {}
        self._open: dict[str, LlmProvider] = {}
        self._stack = AsyncExitStack()
        self._is_entered = False

    def register_from_route(self, route: ProviderRoute) -> None:
        """The same again changes nothing.  Raises ConfigError for a type that nobody knows, RuntimeError when open."""
        if self._is_entered:
            raise RuntimeError("register providers before the registry is entered")
        provider = route.as_provider()
        self._wanted.setdefault(provider.name, provider)

    async def __aenter__(self) -> Self:
        self._is_entered = True
        config = Config(
            providers=tuple(self._wanted.values()),
            discovery=Discovery(local=False, environment=False, echo=False),
            logging=Logging(level="error"),
        )
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(open_gateway(config))
            client = await stack.enter_async_context(HooshClient(transport=transport(gateway)))
            self._open = {name: _Registered(provider, client, gateway) for name, provider in self._wanted.items()}
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = {}
        await self._stack.__aexit__(kind, error, trace)

    def get(self, name: str) -> LlmProvider | None:
        """By the route's name, which is its type's wire name unless it was given another."""
        return self._open.get(name)

    def require(self, name: str) -> LlmProvider:
        """The same.  Raises NoRoute."""
        provider = self._open.get(name)
        if provider is None:
            raise NoRoute(name)
        return provider

    def all(self) -> tuple[LlmProvider, ...]:
        return tuple(self._open.values())

    def __len__(self) -> int:
        return len(self._wanted)
