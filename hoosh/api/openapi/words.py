"""What the document says in prose, and the headers, tags and keys that routes share."""

from __future__ import annotations

from typing import Any

__all__ = ["ERROR_HEADERS", "HEADERS", "REPLY_HEADERS", "SECURITY", "STATUSES", "TAGS", "about"]

ABOUT = """An AI inference gateway: the APIs of OpenAI, Anthropic and Ollama in front of many providers.

Every answer has `x-request-id`. Errors have the shape of the API that the path belongs to: OpenAI's, Anthropic's under
`/v1/messages` and for whoever sends `anthropic-version`, Ollama's under `/api`. A path that there is not is a 404, a
method that a path does not have a 405 with `allow`; `HEAD` is there where `GET` is, and `OPTIONS` names the methods.
A gateway without keys asks for none."""

TAGS = {
    "OpenAI": "Chat, completions, embeddings and responses, as OpenAI's clients ask for them.",
    "Anthropic": "Messages, as Anthropic's clients ask for them.",
    "Ollama": "What Ollama's clients ask for.",
    "Audio": "Speech to text, and text to speech.",
    "Models": "What can be asked for.",
    "Budgets": "For programs that spend from a pool without sending their requests through the gateway.",
    "Costs": "What it has cost, and what it would.",
    "Requests": "What runs now, and how to end it.",
    "Audit": "The audit log.",
    "Events": "What happens, for those who want to know.",
    "Health": "For probes and people.",
    "Hardware": "What this machine can carry.",
    "Operations": "For those who run it.",
}
SECURITY: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`authorization: Bearer KEY`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "As Anthropic's clients send it."},
}
STATUSES: dict[int, str] = {
    0: "The provider's own verdict on the request, as it was.",
    304: "The copy that one has is still the same.",
    400: "The request cannot be read, or asks for what there is not.",
    401: "No key, or one that is not known.",
    402: "The budget, which holds money, cannot pay.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    408: "The request was too slow to arrive.",
    413: "The body is too large.",
    415: "The body is not of a type that is read here.",
    429: "Too much was asked for: requests, tokens, or more than the budget holds.",
    431: "The head of the request is too large.",
    502: "The provider failed.",
    503: "Not now: nobody is there to ask, or the gateway is closing.",
    504: "The provider was too slow, or only a kept answer was wanted.",
    529: "Not now, in Anthropic's words.",
}
RATE_HEADERS = tuple(
    f"x-ratelimit-{fact}-{what}" for what in ("requests", "tokens") for fact in ("limit", "remaining", "reset")
)
REPLY_HEADERS = (
    *("x-hoosh-provider", "x-hoosh-model", "x-hoosh-cache", "x-hoosh-attempts", "x-hoosh-attempts-detail"),
    *("x-hoosh-estimated", *RATE_HEADERS),
)
ERROR_HEADERS = {
    401: ("www-authenticate",),
    402: ("retry-after", "x-should-retry"),
    429: ("retry-after", "x-should-retry"),
    503: ("retry-after", "x-should-retry"),
    504: ("x-should-retry",),
    529: ("retry-after", "x-should-retry"),
    304: ("etag",),
}


def _header(note: str, kind: str = "string", *, required: bool = False) -> dict[str, Any]:
    said: dict[str, Any] = {"description": note, "schema": {"type": kind}}
    return said | ({"required": True} if required else {})


HEADERS: dict[str, Any] = {
    "x-request-id": _header("The request's id, also in the log.", required=True),
    "x-hoosh-provider": _header("Who has answered."),
    "x-hoosh-model": _header("The model, as that provider calls it."),
    "x-hoosh-cache": _header("`hit`, `miss`, `shared` or `bypass`."),
    "x-hoosh-attempts": _header("How many attempts it took.", "integer"),
    "x-hoosh-attempts-detail": _header("Each attempt, for whoever sent `x-hoosh-attempts: detail`."),
    "x-hoosh-estimated": _header("`true`: the count of tokens is the gateway's own guess."),
    "retry-after": _header("Seconds after which it may be worth asking again.", "integer"),
    "x-should-retry": _header("`false`: asking again will not help."),
    "www-authenticate": _header("`Bearer`.", required=True),
    "etag": _header("Changes when the document does.", required=True),
    **{
        name: _header("Of the key's limits, where it has some; Anthropic's clients get its names.")
        for name in RATE_HEADERS
    },
}


def about(version: str) -> dict[str, Any]:
    return {
        "title": "hoosh",
        "version": version,
        "summary": "An AI inference gateway.",
        "description": ABOUT,
        "license": {"name": "AGPL-3.0-only", "identifier": "AGPL-3.0-only"},
    }
