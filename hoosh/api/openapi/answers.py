"""What clients get, as far as it is promised: more fields may come, and an upstream's own go through.

The views write most of these as dicts; that they write what stands here is held by tests that ask a running gateway.
Where the gateway answers with a struct of its own, that struct is the promise.

Sources: OpenAI's OpenAPI document; Anthropic's and Ollama's API references; docs/*.md for what is hoosh's own.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from hoosh.values import Priority
from hoosh.values.live import RunningRequest
from hoosh.values.queue import CallerQueue

__all__ = ["OpenAIError"]


# -- errors ------------------------------------------------------------------------------------------------------


class OpenAIErrorFacts(Struct):
    message: str
    type: str
    param: str | None
    code: str | int | None


class OpenAIError(Struct):
    """An error in OpenAI's shape.  `code` is stable; `message` is for people."""

    error: OpenAIErrorFacts


class AnthropicErrorFacts(Struct):
    type: str
    message: str


class AnthropicError(Struct, tag="error"):
    """An error in Anthropic's shape."""

    error: AnthropicErrorFacts
    request_id: str | None


class OllamaError(Struct):
    """An error in Ollama's shape."""

    error: str


# -- OpenAI ------------------------------------------------------------------------------------------------------


class Usage(Struct):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int | UnsetType = UNSET


class ChatMessage(Struct):
    role: str
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: list[dict[str, Any]] | UnsetType | None = UNSET


class ChatChoice(Struct):
    index: int
    message: ChatMessage
    finish_reason: str | None


class ChatCompletion(Struct):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage | UnsetType | None = UNSET


class TextChoice(Struct):
    index: int
    text: str
    finish_reason: str | None


class Completion(Struct):
    """A whole answer."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | UnsetType | None = UNSET


class Embedding(Struct):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingList(Struct):
    """A vector for each input, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage | UnsetType | None = UNSET


class Response(Struct):
    """A response, whole."""

    id: str
    object: Literal["response"]
    created_at: float
    model: str
    output: list[dict[str, Any]]
    status: str | UnsetType = UNSET
    usage: dict[str, Any] | UnsetType | None = UNSET


class ResponseItems(Struct):
    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ResponseDeleted(Struct):
    id: str
    object: str
    deleted: bool


class InputTokens(Struct):
    """`x-hoosh-estimated: true` where the provider of the model cannot count."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class Transcription(Struct):
    text: str


class Model(Struct):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int | UnsetType = UNSET
    max_output_tokens: int | UnsetType = UNSET
    capabilities: list[str] | UnsetType = UNSET
    fits: bool | UnsetType | None = UNSET
    memory_bytes: int | UnsetType = UNSET


class ModelList(Struct):
    object: Literal["list"]
    data: list[Model]


class CatalogueModel(Struct):
    id: str
    object: Literal["model"]
    owned_by: str
    lacks: list[str]
    source: str
    as_of: str
    context_length: int | UnsetType = UNSET
    max_output_tokens: int | UnsetType = UNSET
    capabilities: list[str] | UnsetType = UNSET


class CatalogueList(Struct):
    object: Literal["list"]
    data: list[CatalogueModel]


# -- Anthropic ---------------------------------------------------------------------------------------------------


class Message(Struct, tag="message"):
    """A whole answer."""

    id: str
    role: Literal["assistant"]
    content: list[dict[str, Any]]
    model: str
    stop_reason: str | None
    usage: dict[str, Any]
    stop_sequence: str | UnsetType | None = UNSET


class MessageTokens(Struct):
    """`x-hoosh-estimated: true` where the provider of the model cannot count."""

    input_tokens: int


class AnthropicModel(Struct, tag="model"):
    id: str
    display_name: str
    created_at: str
    max_input_tokens: int | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    capabilities: dict[str, Any] | UnsetType = UNSET


class AnthropicModelPage(Struct):
    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


# -- Ollama ------------------------------------------------------------------------------------------------------


class OllamaChat(Struct):
    """A whole answer; a stream has a line of this for each piece, and the last says `done`."""

    model: str
    created_at: str
    message: dict[str, Any]
    done: bool


class OllamaGenerated(Struct):
    """A whole answer; a stream has a line of this for each piece, and the last says `done`."""

    model: str
    created_at: str
    response: str
    done: bool


class OllamaVectors(Struct):
    model: str
    embeddings: list[list[float]]


class OllamaVector(Struct):
    embedding: list[float]


class OllamaModel(Struct):
    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: dict[str, Any]


class OllamaModels(Struct):
    models: list[OllamaModel]


class OllamaRunning(Struct):
    models: list[dict[str, Any]]


class OllamaShown(Struct):
    details: dict[str, Any]
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str
    license: str
    modelfile: str
    parameters: str
    template: str


class OllamaVersion(Struct):
    version: str


# -- health and operations ---------------------------------------------------------------------------------------


class Greeting(Struct):
    name: str
    version: str
    status: Literal["ok", "unavailable"]


class Alive(Struct):
    status: Literal["ok"]


class Ready(Struct):
    status: Literal["ready"]


class StorageHealth(Struct):
    kind: str
    status: str
    waiting_rows: int
    spooled_rows: int


class Health(Struct):
    status: Literal["ok", "degraded"]
    version: str
    providers_configured: int
    providers_down: int
    storage: StorageHealth


class ProviderHealth(Struct):
    provider: str
    type: str
    base_url: str
    enabled: bool
    local: bool
    status: str
    consecutive_failures: int
    last_error: str | None
    last_check_age_s: float | None
    breakers: dict[str, Any]
    models: list[str]
    capabilities: list[str]


class HeartbeatNode(Struct):
    id: str
    provider: str
    status: str
    age_s: float | None


class Heartbeat(Struct):
    total_nodes: int
    online: int
    suspect: int
    offline: int
    total_gpus: int
    total_vram_mb: int
    available_vram_mb: int
    nodes: list[HeartbeatNode]


class QueueStatus(Struct):
    queued: int
    pending: int
    processing: int
    classes: dict[str, int]
    max_concurrent: int | None
    max_queue: int
    timeout_s: float
    longest_wait_s: float
    refused: int
    callers: list[CallerQueue]
    shedding: list[Priority]


class Cleared(Struct):
    cleared: int


class RunningList(Struct):
    """The oldest first; `total` counts those that are not shown, too."""

    object: Literal["list"]
    data: list[RunningRequest]
    total: int


class Cancelled(Struct):
    cancelled: int


# -- events ------------------------------------------------------------------------------------------------------


class EventEntry(Struct):
    """What else there is depends on `event`: docs/events.md."""

    id: int
    topic: str
    event: str
    timestamp: str


class EventsLost(Struct):
    """Are not kept any more."""

    count: int | None
    first_id: int | None
    last_id: int


class EventPage(Struct):
    events: list[EventEntry]
    lost: EventsLost | None
    last_id: int


# -- costs -------------------------------------------------------------------------------------------------------


class _CostCounts(Struct, kw_only=True):
    total_cost_usd: float
    total_cost_micro_usd: int
    requests_unpriced: int
    requests_failed: int
    requests_cached: int
    requests_estimated: int
    cached_tokens: int
    saved_tokens: int
    audio_ms: int | UnsetType = UNSET
    characters: int | UnsetType = UNSET


class CostRecord(_CostCounts, kw_only=True):
    """The names are those of `group_by`; `base_url` is for administrators."""

    day: str | UnsetType = UNSET
    key: str | UnsetType | None = UNSET
    pool: str | UnsetType | None = UNSET
    provider: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    base_url: str | UnsetType = UNSET
    is_local: bool
    total_input_tokens: int
    total_output_tokens: int
    request_count: int


class CostTotals(_CostCounts, kw_only=True):
    total_requests: int
    total_prompt_tokens: int
    total_completion_tokens: int


class Costs(CostTotals, kw_only=True):
    records: list[CostRecord]
    truncated: bool
    group_by: list[str]
    since: str | None


class CostsReset(Struct):
    """`cleared` is what there was until now."""

    status: Literal["reset"]
    reason: str
    cleared: CostTotals


class CostEstimate(Struct):
    model: str
    input_tokens: int
    output_tokens: int
    estimated_cost_micro_usd: int
    estimated_cost_usd: str
    provider: str
    served_model: str
    is_local: bool


class CostAdvice(Struct):
    model: str
    provider: str
    estimated_cost_micro_usd: int
    estimated_cost_usd: str
    is_local: bool
    reason: str
