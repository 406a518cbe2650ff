"""Which models can be asked for: the merged list, restricted to what the caller may use, in the client's shape.

OpenAI's four fields, and beside them what is known: `context_length`, `max_output_tokens`, `capabilities`; of a model
at a local engine whose memory is known, `fits` (null: nobody can tell) and the `memory_bytes` it needs.  What nobody
has said is left out: an empty list would say "nothing".  A client that sends `anthropic-version` is one of Anthropic's
SDKs and gets Anthropic's shape, in pages where it asks for them.

Source: wire notes 2.1 and 2.2; product section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from quart import Blueprint, Response, request

from hoosh.api.face import GatewayFace, json_response, require
from hoosh.catalogue import CatalogueModel, catalogue_models
from hoosh.errors import NoRoute
from hoosh.values import Caller, Capability, ModelCard, ModelFacts

__all__ = ["anthropic_json", "catalogue_json", "facts_json", "model_json", "model_routes", "page_of", "visible"]

ANTHROPIC_PAGE_MAX = 1000


def model_routes(gateway: GatewayFace) -> Blueprint:
    routes = Blueprint("models", __name__)

    @routes.get("/v1/models")
    async def list_models() -> Response:
        """The models that can be asked for."""
        cards = visible(await gateway.models(), require("inference"))
        if _is_anthropic():
            return json_response(anthropic_list_json(cards, request.args))
        return json_response({"object": "list", "data": [model_json(card) for card in cards]})

    @routes.get("/v1/models/catalog")
    async def catalogue() -> Response:
        """What is known of models by name, whoever serves them."""
        require("inference")
        return json_response({"object": "list", "data": [catalogue_json(model) for model in catalogue_models()]})

    @routes.get("/v1/models/<path:model_id>")  # ids contain slashes
    async def get_model(model_id: str) -> Response:
        """One model."""
        for card in visible(await gateway.models(), require("inference")):
            if card.id == model_id:
                return json_response(anthropic_json(card) if _is_anthropic() else model_json(card))
        raise NoRoute(model_id)

    return routes


def _is_anthropic() -> bool:
    return "anthropic-version" in request.headers


def visible(cards: list[ModelCard], caller: Caller) -> list[ModelCard]:
    """Those that the caller's key is for."""
    if not caller.models:
        return cards
    return [card for card in cards if any(fnmatchcase(card.id, glob) for glob in caller.models)]


# -- OpenAI's shape --------------------------------------------------------------------------------------------------


def model_json(card: ModelCard) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": card.id, "object": "model", "created": card.created, "owned_by": card.owned_by}
    shown |= facts_json(card.facts)
    if card.fit is not None:
        shown["fits"] = card.fit.fits
        if card.fit.needed_bytes is not None:
            shown["memory_bytes"] = card.fit.needed_bytes
    return shown


def facts_json(facts: ModelFacts) -> dict[str, Any]:
    """What is known, by the names that configuration and error bodies use."""
    shown: dict[str, Any] = {}
    if facts.context_tokens is not None:
        shown["context_length"] = facts.context_tokens
    if facts.max_output_tokens is not None:
        shown["max_output_tokens"] = facts.max_output_tokens
    if facts.can:
        shown["capabilities"] = _in_order(facts.can)
    return shown


def catalogue_json(model: CatalogueModel) -> dict[str, Any]:
    shown = {"id": model.id, "object": "model", "owned_by": model.vendor} | facts_json(model.facts)
    return shown | {"lacks": _in_order(model.facts.cannot), "source": model.source, "as_of": model.as_of}


def _in_order(capabilities: frozenset[Capability]) -> list[str]:
    return [capability.value for capability in Capability if capability in capabilities]


# -- Anthropic's shape -----------------------------------------------------------------------------------------------

ANTHROPIC_WORDS = {
    Capability.VISION: "image_input",
    Capability.FILES: "pdf_input",
    Capability.STRUCTURED_OUTPUT: "structured_outputs",
    Capability.REASONING: "thinking",
}


def anthropic_json(card: ModelCard) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "model",
        "id": card.id,
        "display_name": card.id,
        "created_at": datetime.fromtimestamp(max(0, min(card.created, 253402300799)), UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }
    facts = card.facts
    if facts.context_tokens is not None:
        shown["max_input_tokens"] = facts.context_tokens
    if facts.max_output_tokens is not None:
        shown["max_tokens"] = facts.max_output_tokens
    known = {
        word: ability in facts.can for ability, word in ANTHROPIC_WORDS.items() if ability in facts.can | facts.cannot
    }
    if known:
        shown["capabilities"] = {word: {"supported": supported} for word, supported in known.items()}
    return shown


def anthropic_list_json(cards: Sequence[ModelCard], query: Any) -> dict[str, Any]:
    """One page of the list; all of it where the client does not say how long a page is."""
    limit = query.get("limit", "")
    page, has_more = page_of(
        cards,
        limit=int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else ANTHROPIC_PAGE_MAX,
        after_id=query.get("after_id"),
        before_id=query.get("before_id"),
    )
    return {
        "data": [anthropic_json(card) for card in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def page_of(
    cards: Sequence[ModelCard], *, limit: int, after_id: str | None = None, before_id: str | None = None
) -> tuple[Sequence[ModelCard], bool]:
    """A page after one model or before another, and whether there are more in that direction.

    A model that is not there (any more) is no place to start from: then the list begins anew.
    """
    limit = max(1, min(limit, ANTHROPIC_PAGE_MAX))
    places = {card.id: number for number, card in enumerate(cards)}
    if before_id is not None and after_id is None:
        end = places.get(before_id, len(cards))
        start = max(0, end - limit)
        return cards[start:end], start > 0
    start = places.get(after_id, -1) + 1 if after_id is not None else 0
    return cards[start : start + limit], start + limit < len(cards)
