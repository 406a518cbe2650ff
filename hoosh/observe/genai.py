"""The names that OpenTelemetry gives to what is measured of generative AI, and what is counted under them.

    Record ──▶ Operation (by operation, provider, model) ──▶ gen_ai_client_* and gen_ai_server_* at a scrape

As a client hoosh measures the attempt that was the last one, as a server the request.  Bucket boundaries are those of
the conventions.  Time per output token is measured once a request, not once a chunk: (last token - first token) /
(tokens - 1), as the conventions define it for servers.

Source: OpenTelemetry semantic conventions for generative AI, metrics and spans, status Development, as of version
1.42.0 (since then a repository of their own, semantic-conventions-genai).  Spelling in Prometheus: OpenTelemetry
specification, Prometheus compatibility: dots become underscores, the unit `s` a suffix, `{token}` none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from hoosh.values import CallKind, Outcome, Record

__all__ = ["DURATION_S", "Distribution", "Operation", "error_type", "operation_name", "provider_name"]

DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Also that of the time to the first chunk."""
TOKENS = tuple(4**power for power in range(14))
FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

OPERATIONS: Mapping[str, str] = {
    CallKind.CHAT.value: "chat",
    CallKind.COMPLETION.value: "text_completion",
    CallKind.EMBEDDING.value: "embeddings",
}
"""The conventions' words; what they have none for keeps ours."""
PROVIDERS: Mapping[str, str] = {"google": "gcp.gemini", "mistral": "mistral_ai", "grok": "x_ai"}
"""By type, where theirs is not ours."""
OK = Outcome.OK
CONNECT, FIRST, RELAY = 2, 3, 4
"""Of a Record's phases, those of the last attempt."""


def operation_name(kind: str) -> str:
    return OPERATIONS.get(kind, kind)


def provider_name(type_name: str) -> str:
    """Of a provider's type."""
    return PROVIDERS.get(type_name, type_name)


def error_type(record: Record) -> str:
    """Why it was not answered in full: an HTTP status, `cut` or `client_left`; "" where it was."""
    if record.outcome is OK:
        return ""
    if record.outcome is Outcome.ERROR:
        return str(record.status) if 100 <= record.status <= 599 else "_OTHER"
    return record.outcome.value


class Distribution:
    """A histogram's numbers."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Operation:
    """What is counted for one operation with one model of one type of provider."""

    __slots__ = ("durations", "first_chunk", "first_token", "input_tokens", "output_tokens", "per_token")

    def __init__(self) -> None:
        self.durations: dict[str, Distribution] = {}
        """By type of error."""
        self.first_chunk = Distribution(DURATION_S)
        self.first_token = Distribution(FIRST_TOKEN_S)
        self.per_token = Distribution(PER_TOKEN_S)
        self.input_tokens = Distribution(TOKENS)
        self.output_tokens = Distribution(TOKENS)

    def add(self, record: Record) -> None:
        """Count one that has asked an upstream."""
        phases, is_ok = record.phases, record.outcome is OK
        error = "" if is_ok else error_type(record)
        durations = self.durations.get(error)
        if durations is None:
            durations = self.durations[error] = Distribution(DURATION_S)
        to_first_s = phases[CONNECT] + phases[FIRST]
        durations.observe(to_first_s + phases[RELAY])
        usage, first_s = record.usage, record.first_token_s
        if record.stream and first_s is not None:
            self.first_chunk.observe(to_first_s)
            if is_ok:
                self.first_token.observe(first_s)
                if usage is not None and usage.completion_tokens > 1:
                    self.per_token.observe(phases[RELAY] / (usage.completion_tokens - 1))
        if usage is not None:
            self.input_tokens.observe(usage.prompt_tokens)
            self.output_tokens.observe(usage.completion_tokens)
