"""Whom a LiteLLM model string means: `groq/llama-3.3-70b-versatile` is asked of Groq.

A prefix is either one of our provider types by another name, or a vendor that speaks OpenAI's language at an address
of its own.  What is neither (`bedrock/`, `vertex_ai/`, `sagemaker/`) has no counterpart.  Without a prefix LiteLLM goes
by the model's name.  Source: LiteLLM's documentation, "Providers" and "Config.yaml"; the vendors' own for addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from msgspec import Struct

from hoosh.catalogue import PROVIDER_TYPES

__all__ = ["AZURE", "VENDORS", "Vendor", "known_prefix", "vendor_of"]


class Vendor(Struct, frozen=True):
    type: str
    """One of ours, in its wire name."""
    base_url: str = ""
    """"" is the type's usual one, or the one the deployment names."""
    key_variable: str = ""
    """Where LiteLLM looks for the key of a deployment that names none."""


def _ours(type: str) -> Vendor:
    kind = PROVIDER_TYPES[type]
    return Vendor(type, key_variable=kind.key_variables[0] if kind.key_variables else "")


_COMPATIBLE = "openai-compatible"
AZURE = ("azure", "azure_text")
VENDORS: Mapping[str, Vendor] = {
    **{name: _ours(name) for name in ("openai", "anthropic", "deepseek", "mistral", "groq", "openrouter", "ollama")},
    **dict.fromkeys(("text-completion-openai", "custom_openai"), _ours("openai")),
    "gemini": _ours("google"),
    "xai": _ours("grok"),
    "ollama_chat": _ours("ollama"),
    **dict.fromkeys(("hosted_vllm", "vllm"), _ours("vllm")),
    "lm_studio": _ours("lmstudio"),
    "llamafile": _ours("llamacpp"),
    **dict.fromkeys(("openai_like", "litellm_proxy", "xinference"), Vendor(_COMPATIBLE)),
    **dict.fromkeys(AZURE, Vendor(_COMPATIBLE, key_variable="AZURE_API_KEY")),
    "azure_ai": Vendor(_COMPATIBLE, key_variable="AZURE_AI_API_KEY"),
    "together_ai": Vendor(_COMPATIBLE, "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Vendor(_COMPATIBLE, "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "cerebras": Vendor(_COMPATIBLE, "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepinfra": Vendor(_COMPATIBLE, "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "nvidia_nim": Vendor(_COMPATIBLE, "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "sambanova": Vendor(_COMPATIBLE, "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "moonshot": Vendor(_COMPATIBLE, "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
}

_BY_NAME = ("openai", "anthropic", "deepseek", "mistral")
"""Types whose models LiteLLM knows without a prefix.  A bare `gemini-...` means Vertex AI there."""


def known_prefix(model: str) -> str:
    """The vendor's word before the first slash, "" where that is part of the model's name."""
    prefix, slash, _ = model.partition("/")
    return prefix if slash and prefix in VENDORS else ""


def vendor_of(model: str, provider: str) -> tuple[Vendor | None, str]:
    """Who is asked, and for what.  `provider` is LiteLLM's `custom_llm_provider`, which has the last word.

    None where we have nobody; then the model is as it was written.
    """
    prefix = known_prefix(model)
    if provider:
        return VENDORS.get(provider), model.removeprefix(f"{provider}/")
    if prefix:
        return VENDORS[prefix], model.removeprefix(f"{prefix}/")
    return next((VENDORS[name] for name in _BY_NAME if _is_usual(name, model)), None), model


def _is_usual(type: str, model: str) -> bool:
    return any(fnmatchcase(model, glob) for glob in PROVIDER_TYPES[type].usual_models)
