"""`[logging]` and `[telemetry]`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta, Struct

from hoosh.values import Secret

__all__ = ["LEVELS", "ROOMS", "LevelName", "Logging", "Telemetry"]

LevelName = Literal["debug", "info", "warning", "error"]
LEVELS = ("debug", "info", "warning", "error")
ROOMS = (
    *("access", "api", "audit", "budget", "cache", "config", "events", "gateway", "hardware", "health", "http"),
    *("observe", "speech"),
)
"""Who writes lines; `access` are the lines of requests."""
NOTHING: Mapping[str, str] = MappingProxyType({})


class Logging(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is logged, and how."""

    format: Literal["auto", "json", "text", "console"] = "auto"
    """`auto` is text on a terminal, else JSON; `console` is another word for text."""
    level: LevelName = "info"
    levels: Mapping[str, LevelName] = MappingProxyType({})
    """By room, where it is not `level`."""
    access_sample: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Of the requests that went well and were quick, so many have a line."""
    slow_s: Annotated[float, Meta(gt=0)] = 10.0
    """A request that took longer always has one."""
    exception_text: bool = False
    """The stack of a bug shows what its exceptions say, which may be a prompt or a key; else their types and where."""


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Traces by OTLP/HTTP.  Off by default; on where an endpoint is given, or `enabled` says so.

    What is not said here the environment may say, as the OpenTelemetry specification has it: OTEL_EXPORTER_OTLP_*,
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED.
    """

    enabled: bool | None = None
    otlp_endpoint: str | None = None
    """The collector's base URL, such as http://localhost:4318, or the whole URL with its path."""
    headers: Mapping[str, Secret] = MappingProxyType({})
    sample: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of the requests whose client has not decided it, so many are traced.  None: all, or OTEL_TRACES_SAMPLER_ARG."""
    service_name: str | None = None
    resource: Mapping[str, str] = NOTHING
    """Further attributes of the resource."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] | None = None
    """For one batch, its retries included."""
    queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Requests that wait for their export; more are dropped, and counted."""

    @property
    def is_on(self) -> bool:
        return self.otlp_endpoint is not None if self.enabled is None else self.enabled
