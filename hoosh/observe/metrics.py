"""Metrics: counted while requests end, put into words when somebody asks.

    record(Record)  ──▶ plain integers of our own           (on the path of each request: about 4 µs)
    text()          ──▶ `scrape.py`, prometheus_client      (at a scrape)

prometheus_client's own counters take a lock and several calls each; everything here happens on one thread, so plain
numbers do, and a collector of ours hands them over in its terms.

What there is, and what it means, says docs/metrics.md.

Label values are bounded.  `model` is the name that a provider was asked for, so "none" before routing; a name gets a
series of its own once an answer other than a refusal has come for it, and only the first 200 do: the others are
"other".  Of providers the first 100 have one.  Otherwise a client could invent names behind a `*` route and make us
keep each of them for ever.  Of what is read at the scrape for each account and model, the 200 that matter most are
shown.

Source: reference.md section 16 for names and buckets; those of OpenTelemetry: `genai.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from hoosh.observe.attempts import Attempts
from hoosh.observe.genai import Distribution, Operation, operation_name, provider_name
from hoosh.values import PHASES, Outcome, Record
from hoosh.values.hardware import Device

__all__ = ["MODELS_MAX", "PROVIDERS_MAX", "Distribution", "Metrics", "Names", "Readings", "Series"]

MODELS_MAX = 200
PROVIDERS_MAX = 100
OPERATIONS_MAX = 100
"""Of OpenTelemetry's series, each of which has a hundred lines."""
OK = Outcome.OK
"""By this name it is found in half the time."""
NONE = "none"
OTHER = "other"
NOTHING: Mapping[str, int] = MappingProxyType({})
OUR_REFUSALS = ("rate_limit_exceeded", "budget_exceeded")

DURATION_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
FIRST_TOKEN_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
QUEUE_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


class Readings(Struct, frozen=True):
    """What is true at the moment of a scrape, read from the house's statistics."""

    in_flight: int = 0
    connections: int = 0
    providers_configured: int = 0
    upstream_connections: Sequence[tuple[str, str, int]] = ()
    """(provider, state, how many); state is for example idle or busy."""
    loop_lag_s: float = 0.0
    loop_lag_max_s: float = 0.0
    pools: Sequence[tuple[str, str, str, int]] = ()
    """(pool, unit, state, amount); state is used, held, reserved or available."""
    cache_entries: int = 0
    cache_bytes: int = 0
    store_waiting_rows: int = 0
    store_ok: bool = True
    """Its rows reach the place they belong to."""
    breakers: Sequence[tuple[str, str, str]] = ()
    """(provider, model, state), as `hoosh.health` names states; the model `*` is the whole account."""
    queue_waiting: Mapping[str, int] = NOTHING
    """By priority."""
    queue_running: int = 0
    queue_refused: int = 0
    """Since the start."""
    retry_budget: float = 0.0
    """Attempts left; below 0 on credit."""
    loads: Sequence[tuple[str, str, int, float | None]] = ()
    """(provider, model, attempts in flight, seconds to the first content on average)."""
    events_published: Mapping[str, int] = NOTHING
    """By topic."""
    event_listeners: int = 0
    events_lost: int = 0
    webhook_deliveries: Sequence[tuple[str, str, int]] = ()
    """(webhook, result, how often); results are those of `gateway/webhooks.py`."""
    limits: Sequence[tuple[str, str, str, int, int]] = ()
    """(kind, name, what, used, limit) of keys, models and providers that have one; what is for example requests."""
    limit_refusals: Sequence[tuple[str, str, int]] = ()
    """(kind, name, how often it has refused)."""
    log_lines: Mapping[str, int] = NOTHING
    """Since the start, by what became of them: written, dropped, sampled_out."""
    traces: Mapping[str, int] = NOTHING
    """Since the start, by what became of them: exported, dropped."""
    traces_waiting: int = 0
    accelerators: Sequence[Device] = ()


class Names:
    """Names that have a label of their own: the first so many."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int, *known: str) -> None:
        self._known = set(known)
        self._most = most + len(known)

    def label(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name

    def __contains__(self, name: str) -> bool:
        return name in self._known


class Series:
    """All that is counted for one pair of provider and model."""

    __slots__ = ("answered", "duration", "first_token", "operations", "outcomes")

    def __init__(self) -> None:
        self.answered = 0
        """Requests that were, at the first attempt."""
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.duration = Distribution(DURATION_S)
        self.first_token = Distribution(FIRST_TOKEN_S)
        self.operations: dict[str, Operation] = {}
        """By kind of call.  Accounts of one type share theirs."""


class Metrics:
    """Everything measured.  `read` is called at each scrape, `type_of` says of which type a provider is: set them once
    the house is built.
    """

    def __init__(
        self,
        *,
        version: str,
        read: Callable[[], Readings] = Readings,
        type_of: Callable[[str], str] = str,
    ) -> None:
        self.read = read
        self.type_of = type_of
        self.version = version
        self.series: dict[tuple[str, str], Series] = {}
        """By provider and model."""
        self.tokens: dict[str, list[int]] = {}
        """Prompt and completion tokens by provider."""
        self.costs: dict[str, int] = {}
        """Micro-USD by provider."""
        self.refusals = dict.fromkeys(OUR_REFUSALS, 0)
        self.cache: dict[str, int] = {}
        self.responses: dict[int, int] = {}
        self.queue = Distribution(QUEUE_S)
        self.phases = tuple(Distribution(QUEUE_S) for _ in PHASES)
        self.operations: dict[tuple[str, str, str], Operation] = {}
        """By operation, provider and model, in the words of OpenTelemetry."""
        self._providers = Names(PROVIDERS_MAX, NONE)
        self._models = Names(MODELS_MAX, NONE)
        self.attempts = Attempts(self._providers.label)
        self._write: Callable[[], bytes] | None = None

    def record(self, record: Record) -> None:
        """Count one finished request.  Never waits, never raises."""
        self.responses[record.status] = self.responses.get(record.status, 0) + 1
        if record.kind is None:
            return
        self.queue.observe(record.queue_s)
        self.cache[record.cache] = self.cache.get(record.cache, 0) + 1
        if record.error_code in self.refusals and record.attempts == 0:
            self.refusals[record.error_code] += 1
        provider = self._providers.label(record.provider or NONE)
        model = record.served_model or NONE
        series = self.series.get((provider, model)) or self._new_series(provider, model, record)
        series.outcomes[record.outcome] += 1
        if record.tried:
            self.attempts.add(record)
        elif record.outcome is OK and record.attempts:  # none: the answer was kept
            series.answered += 1
        series.duration.observe(record.duration_s)
        if record.phases:
            for distribution, seconds in zip(self.phases, record.phases):  # noqa: B905  # as many, by their type
                distribution.counts[bisect_left(QUEUE_S, seconds)] += 1
                distribution.total += seconds
            operation = series.operations.get(record.kind)
            if operation is None:
                operation = self._new_operation(series, record.kind, provider, model)
            operation.add(record)
        if record.first_token_s is not None:
            series.first_token.observe(record.first_token_s)
        if record.cost_micro_usd:
            self.costs[provider] = self.costs.get(provider, 0) + record.cost_micro_usd
        usage = record.usage
        if usage is not None and record.cache != "hit":
            tokens = self.tokens.get(provider)
            if tokens is None:
                tokens = self.tokens[provider] = [0, 0]
            tokens[0] += usage.prompt_tokens
            tokens[1] += usage.completion_tokens

    def text(self) -> bytes:
        """Prometheus' text format 0.0.4."""
        if self._write is None:
            # Loaded when first asked for: prometheus_client brings HTTP servers along, 45 ms of a cold start.
            from hoosh.observe.scrape import writer_for

            self._write = writer_for(self)
        return self._write()

    def _new_series(self, provider: str, model: str, record: Record) -> Series:
        if model not in self._models:
            is_refused = 400 <= record.status < 500  # the upstream may not know the name at all
            model = OTHER if is_refused else self._models.label(model)
        series = self.series.get((provider, model))
        if series is None:
            series = self.series[provider, model] = Series()
        return series

    def _new_operation(self, series: Series, kind: str, provider: str, model: str) -> Operation:
        model = model if model in self._models else OTHER
        name = provider if provider in (NONE, OTHER) else provider_name(self.type_of(provider)) or provider
        labels = (operation_name(kind), name, model)
        if labels not in self.operations and len(self.operations) >= OPERATIONS_MAX:
            labels = (operation_name(kind), OTHER, OTHER)
        operation = self.operations.get(labels)
        if operation is None:
            operation = self.operations[labels] = Operation()
        series.operations[kind] = operation
        return operation
