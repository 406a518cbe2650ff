"""`model_list`: each deployment as what hoosh would say of it, and what it has said that we do not do.

Source: LiteLLM's documentation, "Config.yaml" and "Load balancing" (`order`, `weight`, `rpm`, `tpm`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from hoosh.catalogue import PROVIDER_TYPES
from hoosh.config.address import is_loopback_url, same_address, url_mistake
from hoosh.migration.remarks import harmless
from hoosh.migration.section import Reading, Section
from hoosh.migration.toml import Value
from hoosh.migration.vendors import AZURE, VENDORS, known_prefix, vendor_of

__all__ = ["Deployment", "deployments_of"]

NOWHERE = "http://address-to-be-filled-in.invalid"
"""RFC 2606, section 2: nobody is ever there."""
SILENT = dict.fromkeys(
    ("id", "mode", "base_model", "description", "version", "created_at", "updated_at", "db_model"), ""
)
SAID_BY_LISTS = "is left out: hoosh knows what a model can from its catalogue and the provider's list"
MILLION = 1_000_000
PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
}
PARAMS = {
    "api_version": "is left out: Azure is asked through its v1 API, which has no versions by date",
    "stream_timeout": "is left out; see [[providers]].timeouts: first_token_s and idle_s bound streams",
    "max_retries": "is left out: [retry] max_retries holds for every provider",
    "cooldown_time": "is left out: [health] open_s holds for every provider",
    "mock_response": "is left out; the embedded model `echo` answers without a provider",
    **dict.fromkeys(("temperature", "top_p", "seed", "stop"), "is left out: hoosh adds no parameters to a request"),
}
INFO = dict.fromkeys(("supports_function_calling", "supports_vision", "supports_audio_input"), SAID_BY_LISTS)


class Deployment(Struct, frozen=True):
    name: str
    """What clients ask for."""
    model: str
    """What the upstream calls it."""
    provider: Mapping[str, Value]
    """Its provider's table, without name, key and models."""
    section: Section
    called: str
    """What its provider may be called."""
    key: str = ""
    order: int = 0
    context_length: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    """USD for a million tokens."""

    @property
    def is_limited(self) -> bool:
        """LiteLLM counts for each deployment, hoosh for each provider: such a one is a provider of its own."""
        return any(name in self.provider for name in ("rate_limit_rpm", "tpm", "max_concurrent"))


def deployments_of(reading: Reading, usual: Mapping[str, Value]) -> Iterator[Deployment]:
    """Those that have a counterpart.  `usual` is what holds for every provider that says nothing else."""
    credentials = _credentials(reading)
    for entry in reading.items("model_list"):
        params = entry.section("litellm_params")
        borrowed = credentials.get(params.text("litellm_credential_name"))
        name, model = entry.text("model_name"), params.text("model")
        if not name or not model:
            entry.say("", "a deployment needs a model_name, and a model in its litellm_params; it is left out")
            continue
        deployment = _deployment(entry, params, borrowed, name, model, usual)
        if deployment is not None:
            yield deployment


def _credentials(reading: Reading) -> dict[str, Section]:
    """`credential_list`: keys and addresses that deployments borrow by name."""
    found: dict[str, Section] = {}
    for entry in reading.items("credential_list"):
        found[entry.text("credential_name")] = entry.section("credential_values")
        entry.rest({"credential_info": ""})
    return found


def _deployment(
    entry: Section, params: Section, borrowed: Section | None, name: str, model: str, usual: Mapping[str, Value]
) -> Deployment | None:
    prefix = params.text("custom_llm_provider") or known_prefix(model)
    vendor, plain = vendor_of(model, params.text("custom_llm_provider"))
    base_url = _base_url(params, borrowed)
    if vendor is None and base_url and "/" not in model:
        params.say("model", "does not say whose it is; it is asked of its api_base in OpenAI's language")
        vendor, plain = vendor_of(model, "openai_like")
    if vendor is None:
        whose = harmless(prefix or model.partition("/")[0], 40)
        entry.say("", f"`{whose}` is no provider of hoosh's; the deployment is left out")
        return None
    kind, url = _address(params, vendor.type, base_url or vendor.base_url, prefix)
    key = params.secret("api_key") or (borrowed.secret("api_key") if borrowed else "")
    if not key and vendor.key_variable and (PROVIDER_TYPES[kind].needs_key or not is_loopback_url(url)):
        key = _usual_key(params, kind, url, vendor.key_variable, prefix)
    provider: dict[str, Value] = {"type": kind, **({"base_url": url} if url else {}), **usual, **_own(params)}
    info = entry.section("model_info")
    context, prices = info.count("max_input_tokens"), _prices(params, info)
    order = params.count("order", least=0) or 0
    params.rest(PARAMS)
    info.rest({**SILENT, **INFO, "max_tokens": SAID_BY_LISTS, "max_output_tokens": SAID_BY_LISTS})
    entry.rest({"model_info": ""})
    called = prefix if kind == "openai-compatible" and prefix in VENDORS and prefix != "openai" else kind
    return Deployment(name, plain, provider, params, called, key, order, context, prices)


def _base_url(params: Section, borrowed: Section | None) -> str:
    """NOWHERE for one that is given and cannot be had: a key must not go to the type's usual address instead."""
    for section, name in ((params, "api_base"), (params, "base_url"), (borrowed, "api_base")):
        if section is not None and name in section:
            return section.text(name) or NOWHERE
    return ""


def _address(params: Section, kind: str, url: str, prefix: str) -> tuple[str, str]:
    """The type that fits the address, and the address where it is not the type's usual one."""
    usual = PROVIDER_TYPES[kind].base_url
    url = url.rstrip("/")
    if prefix in AZURE:
        url = _azure(url)
    if url and url_mistake(url):
        params.say("api_base", "is no address that hoosh can use; write it into base_url yourself")
        return kind, NOWHERE
    if same_address(url, usual) or (not url and usual):
        return kind, ""
    if not url:
        params.say("api_base", "is missing, and nobody can be asked without: write it into base_url yourself")
        return kind, NOWHERE
    return ("openai-compatible" if kind == "openai" else kind), url


def _azure(url: str) -> str:
    """Azure's v1 API is OpenAI's, a version by date is not asked for.  Source: Azure OpenAI, "API lifecycle"."""
    if not url or url == NOWHERE or "/openai" in url:
        return url
    return f"{url}/openai/v1"


def _usual_key(params: Section, kind: str, url: str, variable: str, prefix: str) -> str:
    if kind == "openai-compatible" and prefix in ("openai", "custom_openai", "text-completion-openai", ""):
        params.say(
            "api_key", f"is missing: LiteLLM would send {variable} there, hoosh sends no key; add one if need be"
        )
        return ""
    params.reading.variables.add(variable)
    return f"${variable}"


def _own(params: Section) -> dict[str, Value]:
    """What a deployment says of itself that a provider can say, too."""
    own: dict[str, Value] = {}
    weight = params.count("weight")
    if weight is not None and weight != 1:
        own["weight"] = weight
    for theirs, ours in (("rpm", "rate_limit_rpm"), ("tpm", "tpm"), ("max_parallel_requests", "max_concurrent")):
        limit = params.count(theirs)
        if limit is not None:
            own[ours] = limit
    total_s = params.number("timeout", least=0.001) or params.number("request_timeout", least=0.001)
    if total_s is not None:
        own["timeouts"] = timeouts(total_s)
    if params.flag("ssl_verify") is False:
        own["verify"] = False
    headers = _headers(params)
    return {**own, **({"headers": headers} if headers else {})}


def timeouts(total_s: float) -> dict[str, str | int | float]:
    return {"total_s": total_s}


def _headers(params: Section) -> dict[str, str | int | float]:
    extra = params.section("extra_headers")
    names = list(params.take("extra_headers") or ()) if isinstance(params.take("extra_headers"), dict) else []
    headers: dict[str, str | int | float] = {name: text for name in names if (text := extra.secret(name))}
    organization = params.secret("organization")
    return {**headers, **({"openai-organization": organization} if organization else {})}


def _prices(params: Section, info: Section) -> dict[str, float]:
    """Both places are documented; `model_info` has the last word."""
    prices: dict[str, float] = {}
    for section in (params, info):
        for theirs, ours in PRICES.items():
            usd: Any = section.number(theirs, most=1.0)
            if usd is not None:
                prices[ours] = round(usd * MILLION, 6)
    return prices
