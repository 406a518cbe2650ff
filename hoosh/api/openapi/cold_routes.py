"""The routes that Quart answers: one for one what `api/*.py` has."""

from __future__ import annotations

from typing import Any

from hoosh.api.costs import _Estimate, _Reset
from hoosh.api.hardware import HardwarePage, RequirementMatch, TelemetryPage, _Match
from hoosh.api.openapi import answers as got
from hoosh.api.openapi import bodies as sent
from hoosh.api.openapi.examples import ANSWERS, BODIES
from hoosh.api.openapi.route import JSON, Language, Parameter, Route, Scope, header, in_path, number, word
from hoosh.api.tokens import _Check, _Release, _Report, _Reserve
from hoosh.audit import Verdict
from hoosh.cache import CacheStatistics
from hoosh.gateway.tokens import Checked, PoolList, Promised, Reckoned, Returned
from hoosh.gateway.trail_pages import AuditPage
from hoosh.values.costs import Need
from hoosh.values.live import LIVE_PHASES, RunningRequest
from hoosh.values.reloaded import Reloaded

__all__ = ["COLD_ROUTES"]

TEXT = {"type": "string"}
KEY, POOL, MODEL = (word(name, f"Only those of this {name}.") for name in ("key", "pool", "model"))
DAY = {"type": "string", "format": "date"}
RESPONSE_ID = in_path("identity", "The id of a response that was kept.")
REQUEST_ID = in_path("request_id", "As in `x-request-id`.")


def _get(
    path: str,
    name: str,
    tag: str,
    summary: str,
    answer: Any,
    *,
    scope: Scope = "any",
    parameters: tuple[Parameter, ...] = (),
    refusals: tuple[int, ...] = (),
    language: Language = "openai",
    method: str = "GET",
    example: Any = None,
) -> Route:
    answers = answer if isinstance(answer, tuple) else ((JSON, answer),)
    return Route(
        method=method,
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        answers=answers,
        scope=scope,
        parameters=parameters,
        refusals=refusals,
        language=language,
        example=None if example is None else ANSWERS[example],
    )


def _post(
    path: str,
    name: str,
    tag: str,
    summary: str,
    body: Any,
    answer: Any,
    *,
    scope: Scope = "inference",
    refusals: tuple[int, ...] = (),
    language: Language = "openai",
    required: bool = True,
    example: str = "",
) -> Route:
    return Route(
        method="POST",
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        answers=((JSON, answer),),
        bodies=((JSON, body),),
        body_required=required,
        scope=scope,
        refusals=refusals,
        language=language,
        sent=BODIES[example],
    )


HEALTH = (
    _get("/livez", "isAlive", "Health", "The process answers.", got.Alive, scope="open"),
    _get(
        "/readyz", "isReady", "Health", "Requests are welcome; 503 with the reason where not.", got.Ready, scope="open"
    ),
    _get("/v1/health", "getHealth", "Health", "Health of the whole; always 200.", got.Health),
    _get(
        "/v1/health/providers",
        "listProviderHealth",
        "Health",
        "Health of each provider.",
        ((JSON, {"type": "array", "items": got.ProviderHealth}),),
    ),
    _get("/v1/health/heartbeat", "getHeartbeat", "Health", "Who has been heard of lately.", got.Heartbeat),
)
MODELS = (
    _get(
        "/v1/models",
        "listModels",
        "Models",
        "The models that the key may ask for; in Anthropic's shape for whoever sends `anthropic-version`.",
        ((JSON, {"anyOf": [got.ModelList, got.AnthropicModelPage]}),),
        scope="inference",
        parameters=(
            header("anthropic-version", "Of Anthropic's API; asks for its shape."),
            number("limit", "Models in a page; Anthropic's shape only.", 1, 1000),
            word("after_id", "Those after this model; Anthropic's shape only."),
            word("before_id", "Those before this model; Anthropic's shape only."),
        ),
        example="models",
    ),
    _get(
        "/v1/models/catalog",
        "listCatalogue",
        "Models",
        "What is known of models by name, whoever serves them.",
        got.CatalogueList,
        scope="inference",
    ),
    _get(
        "/v1/models/{model_id}",
        "getModel",
        "Models",
        "One model; its id may have slashes.",
        ((JSON, {"anyOf": [got.Model, got.AnthropicModel]}),),
        scope="inference",
        parameters=(
            in_path("model_id", "As in the list."),
            header("anthropic-version", "Of Anthropic's API; asks for its shape."),
        ),
        refusals=(404,),
        example="model",
    ),
)
OLLAMA = (
    _get(
        "/api/tags",
        "ollamaTags",
        "Ollama",
        "The models that the key may ask for.",
        got.OllamaModels,
        scope="inference",
        language="ollama",
    ),
    _post(
        "/api/show",
        "ollamaShow",
        "Ollama",
        "One model.",
        sent.OllamaShowRequest,
        got.OllamaShown,
        refusals=(404,),
        language="ollama",
        example="show",
    ),
    _get(
        "/api/version",
        "ollamaVersion",
        "Ollama",
        "The Ollama release whose API this is.",
        got.OllamaVersion,
        scope="inference",
        language="ollama",
    ),
    _get(
        "/api/ps",
        "ollamaRunning",
        "Ollama",
        "Models in memory: a gateway has none.",
        got.OllamaRunning,
        scope="inference",
        language="ollama",
    ),
)
RESPONSES = (
    _get(
        "/v1/responses/{identity}",
        "getResponse",
        "OpenAI",
        "A response that was kept.",
        got.Response,
        scope="inference",
        parameters=(RESPONSE_ID,),
        refusals=(404,),
        example="response",
    ),
    _get(
        "/v1/responses/{identity}",
        "deleteResponse",
        "OpenAI",
        "Keep a response no longer.",
        got.ResponseDeleted,
        scope="inference",
        parameters=(RESPONSE_ID,),
        refusals=(404,),
        method="DELETE",
    ),
    _get(
        "/v1/responses/{identity}/input_items",
        "listResponseInput",
        "OpenAI",
        "What a response that was kept was the answer to.",
        got.ResponseItems,
        scope="inference",
        parameters=(
            RESPONSE_ID,
            number("limit", "Items in a page; 20 where it is not said.", 1, 100),
            word("order", "By time; `desc` where it is not said.", "asc", "desc"),
            word("after", "Those after this item."),
        ),
        refusals=(404,),
    ),
)
TOKENS = (
    _post(
        "/v1/tokens/check",
        "checkTokens",
        "Budgets",
        "Would a pool pay for so much?",
        _Check,
        Checked,
        refusals=(404,),
        example="check",
    ),
    _post(
        "/v1/tokens/reserve",
        "reserveTokens",
        "Budgets",
        "Keep an amount of a pool for a while; that there is less is an answer, not an error.",
        _Reserve,
        Promised,
        refusals=(404, 429),
        example="reserve",
    ),
    _post(
        "/v1/tokens/report",
        "reportTokens",
        "Budgets",
        "Say what was used, of a reservation (`id`) or without one (`pool`).",
        _Report,
        Reckoned,
        refusals=(404, 429),
        example="report",
    ),
    _post(
        "/v1/tokens/release",
        "releaseTokens",
        "Budgets",
        "Give a reservation back.",
        _Release,
        Returned,
        refusals=(404,),
        example="release",
    ),
    _get(
        "/v1/tokens/pools",
        "listPools",
        "Budgets",
        "The pools that the key may use, with their balances.",
        PoolList,
        scope="inference",
    ),
)
COSTS = (
    _get(
        "/v1/costs",
        "getCosts",
        "Costs",
        "What has been spent; without the scope `admin`, by one's own key.",
        got.Costs,
        scope="inference",
        parameters=(
            word("group_by", "Names with commas: `day`, `key`, `pool`, `provider`, `model`; `provider` if not said."),
            Parameter("since", "The first day, in UTC.", schema=DAY),
            Parameter("until", "The last day, in UTC.", schema=DAY),
            *(KEY, POOL, word("provider", "Only those of this provider."), MODEL),
        ),
    ),
    _post(
        "/v1/costs/reset",
        "resetCosts",
        "Costs",
        "Begin anew.",
        _Reset,
        got.CostsReset,
        scope="admin",
        required=False,
        example="reset",
    ),
    _post(
        "/v1/cost/estimate",
        "estimateCost",
        "Costs",
        "The price of a request that has not been sent.",
        _Estimate,
        got.CostEstimate,
        refusals=(404,),
        example="estimate",
    ),
    _post(
        "/v1/cost/recommend",
        "recommendModel",
        "Costs",
        "The cheapest model that is known to be able.",
        Need,
        got.CostAdvice,
        refusals=(404,),
        example="recommend",
    ),
)
OPERATIONS = (
    _get("/", "getName", "Operations", "Name and version.", got.Greeting),
    _get(
        "/metrics",
        "getMetrics",
        "Operations",
        "Prometheus metrics.",
        (("text/plain; version=0.0.4; charset=utf-8", TEXT),),
        scope="metrics",
    ),
    Route(
        method="GET",
        path="/openapi.json",
        name="getDocument",
        tag="Operations",
        summary="This document; it has an `etag`.",
        answers=((JSON, {"type": "object"}),),
        scope="any",
        parameters=(header("if-none-match", "The `etag` of the copy that one has: 304 if it is still the same."),),
        refusals=(304,),
    ),
    _get(
        "/v1/audit",
        "listAuditEntries",
        "Audit",
        "Entries of the audit log, the newest page; 404 where there is no log.",
        AuditPage,
        scope="admin",
        parameters=(
            number("limit", "Entries in a page; 100 where it is not said.", 1, 1000),
            number("before", "Those before this number; not with `after`."),
            number("after", "Those after this number; not with `before`."),
            word("event", "Only this event."),
            word("level", "Only this level.", "info", "warn", "error"),
        ),
        refusals=(404,),
    ),
    _get(
        "/v1/audit/verify",
        "verifyAudit",
        "Audit",
        "Whether the audit log is as it was written; 404 where there is no log.",
        Verdict,
        scope="admin",
        refusals=(404,),
    ),
    _get(
        "/v1/cache/stats", "getCache", "Operations", "What the response cache has done.", CacheStatistics, scope="admin"
    ),
    _post(
        "/v1/cache/clear",
        "clearCache",
        "Operations",
        "Forget kept answers: all, or those of a `model`, or those to the holder of a `key`.",
        sent.CacheClearRequest,
        got.Cleared,
        scope="admin",
        required=False,
        example="clear",
    ),
    _get("/v1/queue/status", "getQueue", "Operations", "Who waits for their turn.", got.QueueStatus, scope="admin"),
    _get(
        "/v1/admin/requests",
        "listRequests",
        "Requests",
        "The requests that run now, oldest first.",
        got.RunningList,
        scope="admin",
        parameters=(
            *(KEY, POOL, MODEL, word("phase", "Only those in this phase.", *LIVE_PHASES)),
            number("limit", "How many are shown; 100 where it is not said.", 1, 1000),
        ),
    ),
    _get(
        "/v1/admin/requests/{request_id}",
        "getRequest",
        "Requests",
        "One request that runs now.",
        RunningRequest,
        scope="admin",
        parameters=(REQUEST_ID,),
        refusals=(404,),
    ),
    _get(
        "/v1/admin/requests/{request_id}",
        "cancelRequest",
        "Requests",
        "End one request.",
        got.Cancelled,
        scope="admin",
        parameters=(REQUEST_ID,),
        refusals=(404,),
        method="DELETE",
    ),
    _get(
        "/v1/admin/requests",
        "cancelRequests",
        "Requests",
        "End the requests that match; with `all=true` alone every one.",
        got.Cancelled,
        scope="admin",
        parameters=(KEY, POOL, MODEL, word("all", "Every one.", "true")),
        method="DELETE",
    ),
)

TOPIC = word("topic", "A pattern: `*` is one segment, `#` all that follow.  May be repeated.")
EVENTS = (
    _get(
        "/v1/events/recent",
        "listEvents",
        "Events",
        "The last events, oldest first.",
        got.EventPage,
        scope="admin",
        parameters=(
            TOPIC,
            number("after", "Only those behind the event of this id.", 0, 10**16 - 1),
            number("limit", "How many are shown; 100 where it is not said.", 1, 1000),
        ),
        refusals=(404,),
    ),
    _get(
        "/v1/events/stream",
        "streamEvents",
        "Events",
        "Events as they happen.",
        (("text/event-stream", {"description": "Server-sent events, without end."}),),
        scope="admin",
        parameters=(
            TOPIC,
            number("last_event_id", "Go on behind the event of this id.", 0, 10**16 - 1),
            header("last-event-id", "The same, as browsers say it."),
        ),
        refusals=(404,),
    ),
)
HARDWARE = (
    _get(
        "/v1/hardware",
        "getHardware",
        "Hardware",
        "The devices of this machine, what joins them, and where it all runs.",
        HardwarePage,
        scope="inference",
    ),
    _get(
        "/v1/hardware/telemetry",
        "getTelemetry",
        "Hardware",
        "Memory in use, load and heat of each device.",
        TelemetryPage,
        scope="inference",
    ),
    _post(
        "/v1/hardware/requirement-match",
        "matchRequirement",
        "Hardware",
        "Whether this machine has accelerators of a sort.",
        _Match,
        RequirementMatch,
        example="match",
    ),
)
RELOAD = Route(
    method="POST",
    path="/v1/admin/reload",
    name="reloadConfiguration",
    tag="Operations",
    summary="Read the configuration again, and work by it; 400 with every mistake, and then nothing has changed.",
    answers=((JSON, Reloaded),),
    scope="admin",
)

COLD_ROUTES: tuple[Route, ...] = (
    *(*MODELS, *RESPONSES, *OLLAMA, *TOKENS, *COSTS, *HEALTH, *OPERATIONS),
    *(*EVENTS, *HARDWARE, RELOAD),
)
