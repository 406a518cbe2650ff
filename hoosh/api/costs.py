"""What has it cost, what would it cost, and who would do it for less?

    GET  /v1/costs             sums, told apart by `group_by`; without the scope `admin` only those of one's own key
    POST /v1/costs/reset       begin anew (`admin`); the journal and the audit log keep what there was
    POST /v1/cost/estimate     the price of a request that has not been sent
    POST /v1/cost/recommend    the cheapest model that is known to be able

Money is whole micro-USD, and beside it US dollars for humans: a number in totals, as the reference's first line has
it, and text with six decimals in estimates.  Source: reference section 2.11; docs/costs.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol, get_args

from msgspec import Raw, Struct
from quart import Blueprint, Response, g, request

from hoosh.api.face import json_response, read_body, require
from hoosh.api.health import shown_url
from hoosh.dialects.mistakes import invalid_value, wrong_type
from hoosh.errors import Forbidden, InvalidRequest
from hoosh.values import Caller, ProviderState
from hoosh.values.costs import GROUPS, Advice, CostQuery, CostReport, CostRow, Estimate, Group, Need

__all__ = ["CostsFace", "CostsGateway", "advice_json", "cost_routes", "costs_json", "query_of"]

SMALL_BODY_BYTES = 64 * 1024
MAX_NAME_CHARS = 512
FILTERS: tuple[Group, ...] = ("key", "pool", "provider", "model")

MAX_TOKENS = 1_000_000_000
MAX_REASON_CHARS = 500
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class CostsFace(Protocol):
    """The desk behind these routes.  Every method raises HooshError."""

    async def report(self, query: CostQuery) -> CostReport: ...

    async def reset(self, caller: Caller, reason: str) -> CostRow:
        """Gives what there was until now."""
        ...

    async def estimate(
        self, caller: Caller, model: str, input_tokens: int | None, output_tokens: int, messages: Raw | None
    ) -> Estimate: ...

    async def recommend(self, caller: Caller, need: Need) -> Advice: ...


class CostsGateway(Protocol):
    """What these routes ask of the gateway."""

    @property
    def costs(self) -> CostsFace: ...

    def providers(self) -> list[ProviderState]: ...


class _Reset(Struct):
    reason: str = ""


class _Estimate(Struct):
    model: str
    input_tokens: int | None = None
    output_tokens: int = 0
    messages: Raw = Raw(b"null")
    """Counted where `input_tokens` is not there."""


def cost_routes(gateway: CostsGateway) -> Blueprint:
    routes = Blueprint("costs", __name__)

    @routes.get("/v1/costs")
    async def costs() -> Response:
        """What has been spent."""
        caller: Caller = g.caller
        is_admin = "admin" in caller.scopes
        if not is_admin:
            require("inference")
        query = query_of(request.args.to_dict(flat=False), None if is_admin else caller.name)
        report = await gateway.costs.report(query)
        urls = {state.name: shown_url(state.base_url) for state in gateway.providers()} if is_admin else {}
        return json_response(costs_json(query, report, urls))

    @routes.post("/v1/costs/reset")
    async def reset() -> Response:
        """Begin anew."""
        caller = require("admin")
        asked = await read_body(_Reset, SMALL_BODY_BYTES, default=_Reset())
        reason = " ".join(_text("reason", asked.reason, MAX_REASON_CHARS).split())
        cleared = await gateway.costs.reset(caller, reason)
        return json_response({"status": "reset", "reason": reason, "cleared": _totals_json(cleared)})

    @routes.post("/v1/cost/estimate")
    async def estimate() -> Response:
        """The price of a request that has not been sent."""
        caller = require("inference")
        asked = await read_body(_Estimate)
        _text("model", asked.model, MAX_NAME_CHARS, least=1)
        _tokens("input_tokens", asked.input_tokens or 0)
        _tokens("output_tokens", asked.output_tokens)
        messages = None if bytes(asked.messages) == b"null" else asked.messages
        if messages is not None and not bytes(messages).startswith(b"["):
            raise wrong_type("messages", "an array", "another value")
        found = await gateway.costs.estimate(caller, asked.model, asked.input_tokens, asked.output_tokens, messages)
        return json_response(estimate_json(found))

    @routes.post("/v1/cost/recommend")
    async def recommend() -> Response:
        """The cheapest model that is known to be able."""
        caller = require("inference")
        need = await read_body(Need, SMALL_BODY_BYTES)
        _tokens("input_tokens", need.input_tokens)
        _tokens("max_output_tokens", need.max_output_tokens)
        return json_response(advice_json(await gateway.costs.recommend(caller, need)))

    return routes


# -- what is asked -----------------------------------------------------------------------------------------------


def _tokens(name: str, tokens: int) -> None:
    """Raises InvalidRequest."""
    if not 0 <= tokens <= MAX_TOKENS:
        raise InvalidRequest(f"Invalid '{name}': 0 to {MAX_TOKENS} tokens.", param=name, code="invalid_value")


def _text(name: str, text: str, most: int, *, least: int = 0) -> str:
    """`text` itself.  Raises InvalidRequest."""
    if least <= len(text) <= most:
        return text
    raise InvalidRequest(f"Invalid '{name}': {least} to {most} characters.", param=name, code="invalid_value")


def query_of(asked: Mapping[str, Sequence[str]], own_key: str | None = None) -> CostQuery:
    """The query string as a query; with `own_key` of that key alone.  Raises InvalidRequest and Forbidden."""
    for name, values in asked.items():
        if name not in ("group_by", "since", "until", *FILTERS):
            raise InvalidRequest(f"Unknown query parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter")
        if len(values) > 1:
            raise InvalidRequest(f"'{name}' may be given once.", param=name, code="invalid_value")
    said = {name: values[0] for name, values in asked.items()}
    since, until = _day(said, "since"), _day(said, "until")
    if since is not None and until is not None and since > until:
        raise InvalidRequest("'since' is later than 'until'.", param="since", code="invalid_value")
    filters: dict[str, str] = {
        group: _text(group, said[group], MAX_NAME_CHARS, least=1) for group in FILTERS if group in said
    }
    if own_key is not None and filters.setdefault("key", own_key) != own_key:
        raise Forbidden("This key may see its own costs only; others need the scope `admin`.", param="key")
    return CostQuery(_groups(said.get("group_by", "provider")), since, until, filters)


def _groups(text: str) -> tuple[Group, ...]:
    words = [word.strip() for word in text[:200].split(",")]
    for word in words:
        if word not in get_args(Group):
            raise invalid_value("group_by", word, GROUPS)
    return tuple(group for group in GROUPS if group in words)


def _day(said: Mapping[str, str], name: str) -> str | None:
    text = said.get(name)
    if text is None:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise InvalidRequest(f"Invalid '{name}': a day is written YYYY-MM-DD.", param=name, code="invalid_value")


# -- what is answered --------------------------------------------------------------------------------------------


def costs_json(query: CostQuery, report: CostReport, urls: Mapping[str, str]) -> dict[str, Any]:
    return {
        "records": [_record_json(query.by, row, urls) for row in report.rows],
        "truncated": report.truncated,
        "group_by": list(query.by),
        "since": None if report.since_ms is None else _time(report.since_ms),
        **_totals_json(report.total),
    }


def _record_json(by: Sequence[Group], row: CostRow, urls: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {group: getattr(row, group) for group in by}
    if row.provider is not None and row.provider in urls:
        shown["base_url"] = urls[row.provider]
    return shown | {
        "is_local": row.local,
        "total_input_tokens": row.prompt_tokens,
        "total_output_tokens": row.completion_tokens,
        "request_count": row.requests,
        **_counts_json(row),
    }


def _totals_json(row: CostRow) -> dict[str, Any]:
    return {
        "total_requests": row.requests,
        "total_prompt_tokens": row.prompt_tokens,
        "total_completion_tokens": row.completion_tokens,
        **_counts_json(row),
    }


def _counts_json(row: CostRow) -> dict[str, Any]:
    return {
        "total_cost_usd": row.cost_micro_usd / 1_000_000,
        "total_cost_micro_usd": row.cost_micro_usd,
        "requests_unpriced": row.requests_unpriced,
        "requests_failed": row.requests_failed,
        "requests_cached": row.requests_cached,
        "requests_estimated": row.requests_estimated,
        "cached_tokens": row.cached_tokens,
        "saved_tokens": row.saved_tokens,
        **({"audio_ms": row.audio_ms} if row.audio_ms else {}),
        **({"characters": row.characters} if row.characters else {}),
    }


def estimate_json(found: Estimate) -> dict[str, Any]:
    return {
        "model": found.model,
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "estimated_cost_micro_usd": found.cost_micro_usd,
        "estimated_cost_usd": _usd(found.cost_micro_usd),
        "provider": found.provider,
        "served_model": found.upstream_model,
        "is_local": found.local,
    }


def advice_json(advice: Advice) -> dict[str, Any]:
    return {
        "model": advice.model,
        "provider": advice.provider,
        "estimated_cost_micro_usd": advice.cost_micro_usd,
        "estimated_cost_usd": _usd(advice.cost_micro_usd),
        "is_local": advice.local,
        "reason": advice.reason,
    }


def _usd(micro_usd: int) -> str:
    whole, rest = divmod(micro_usd, 1_000_000)
    return f"{whole}.{rest:06}"


def _time(at_ms: int) -> str:
    seconds = max(0, min(at_ms // 1000, 253402300799))
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
