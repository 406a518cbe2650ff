"""The provider types hoosh knows, as data: how each is called, where it usually lives, whose key it wants.

All of them speak OpenAI's language over HTTP below `BASE/v1`.  A new vendor of that family is a new row here.
Names are found in the reference's spelling (`LlamaCpp`), in the wire name (`llamacpp`), and in whatever else a
human types: case, `-`, `_`, `.` and blanks do not count (`llama.cpp`, `LM Studio`, `open-router`).

Sources: reference section 3.1; product sections 3 and 5; wire notes 2.4 to 2.11 for the vendors' base URLs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from msgspec import Struct

__all__ = [
    "COMING",
    "PROVIDER_TYPES",
    "ProviderType",
    "engine_at",
    "find_provider_type",
    "is_coming",
    "keys_in",
    "local_ports",
    "suggest_provider_type",
]


class ProviderType(Struct, frozen=True):
    """What is known of one type of provider."""

    wire: str
    """The name in JSON, metrics and logs; also the usual name of a provider of this type."""
    spelling: str
    """The name as the reference spells it in a configuration."""
    local: bool
    """Runs on the owner's own machines.  A property of the type; an address may say so too."""
    base_url: str | None
    """None: the configuration must say."""
    key_variables: tuple[str, ...] = ()
    """Environment variables that usually hold the key, the first one that is set counts."""
    ports: tuple[int, ...] = ()
    """Where a local engine usually listens on loopback."""
    dialect: str = "openai"
    needs_key: bool = False
    usual_models: tuple[str, ...] = ()
    """Globs of the models it is known for: a guess, good until its own list has been read."""
    also: tuple[str, ...] = ()
    """Other names people use."""


_OPENAI_MODELS = (
    *("gpt-*", "chatgpt-*", "o[0-9]*", "codex-*", "computer-use-*", "ft:*", "text-embedding-*", "text-moderation-*"),
    *("omni-moderation-*", "dall-e-*", "whisper-1", "tts-*", "babbage-*", "davinci-*"),
)
_MISTRAL_MODELS = (
    *("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "voxtral-*"),
    *("open-mistral-*", "open-mixtral-*"),
)
_GROQ_MODELS = (
    *("llama-3*", "llama3-*", "gemma2-*", "groq/*", "meta-llama/*", "moonshotai/*", "openai/gpt-oss-*", "qwen/*"),
    "whisper-large-*",
)

# Local types first, then remote ones: the order in which discovered providers of equal priority are asked.
_TYPES = (
    ProviderType("ollama", "Ollama", True, "http://localhost:11434", ports=(11434,)),
    ProviderType("llamacpp", "LlamaCpp", True, "http://localhost:8080", ports=(8080,), also=("llama-server",)),
    ProviderType("lmstudio", "LmStudio", True, "http://localhost:1234", ports=(1234,)),
    ProviderType("vllm", "vLLM", True, "http://localhost:8000", ports=(8000,)),
    # The reference says 8080; LocalAI has llama.cpp's port only when that one is not there, so 8081 is looked at too.
    ProviderType("localai", "LocalAi", True, "http://localhost:8080", ports=(8081, 8080)),
    ProviderType(
        "openai",
        "OpenAi",
        False,
        "https://api.openai.com",
        key_variables=("OPENAI_API_KEY",),
        needs_key=True,
        usual_models=_OPENAI_MODELS,
    ),
    ProviderType(
        "deepseek",
        "DeepSeek",
        False,
        "https://api.deepseek.com",
        key_variables=("DEEPSEEK_API_KEY",),
        needs_key=True,
        usual_models=("deepseek-*",),
    ),
    ProviderType(
        "mistral",
        "Mistral",
        False,
        "https://api.mistral.ai",
        key_variables=("MISTRAL_API_KEY",),
        needs_key=True,
        usual_models=_MISTRAL_MODELS,
        also=("mistralai",),
    ),
    ProviderType(
        "groq",
        "Groq",
        False,
        "https://api.groq.com/openai",
        key_variables=("GROQ_API_KEY",),
        needs_key=True,
        usual_models=_GROQ_MODELS,
    ),
    ProviderType(
        "grok",
        "Grok",
        False,
        "https://api.x.ai",
        key_variables=("XAI_API_KEY",),
        needs_key=True,
        usual_models=("grok-*",),
        also=("xai",),
    ),
    ProviderType(
        "openrouter",
        "OpenRouter",
        False,
        "https://openrouter.ai/api",
        key_variables=("OPENROUTER_API_KEY",),
        needs_key=True,
        usual_models=("*/*",),
    ),
    ProviderType("openai-compatible", "openai-compatible", False, None),
)

PROVIDER_TYPES: Mapping[str, ProviderType] = {kind.wire: kind for kind in _TYPES}
"""By wire name, in the order above."""

COMING = (
    *("Anthropic", "Google", "Gemini", "Synapse", "Whisper", "TensorRT-LLM", "TensorRT", "TrtLlm", "ONNX"),
    *("ONNXRuntime", "Piper"),
)
"""Types that the reference has and this version has not yet."""


def _folded(name: str) -> str:
    return name.casefold().translate({ord(sign): None for sign in "-_. "})


_BY_NAME = {_folded(name): kind for kind in _TYPES for name in (kind.wire, kind.spelling, *kind.also)}
_COMING = frozenset(map(_folded, COMING))


def find_provider_type(name: str) -> ProviderType | None:
    """The type called `name`, however it is spelled; None when there is none."""
    return _BY_NAME.get(_folded(name))


def is_coming(name: str) -> bool:
    """`name` is a type of the reference that this version cannot speak to yet."""
    return _folded(name) in _COMING


def suggest_provider_type(name: str) -> str | None:
    """The nearest known spelling to a misspelled `name`, if one is near."""
    near = difflib.get_close_matches(_folded(name), _BY_NAME, n=1, cutoff=0.6)
    return _BY_NAME[near[0]].wire if near else None


def keys_in(environ: Mapping[str, str]) -> list[tuple[ProviderType, str]]:
    """The types whose usual variable is set and not blank, each with the name of that variable."""
    found = []
    for kind in _TYPES:
        variable = next((name for name in kind.key_variables if environ.get(name, "").strip()), None)
        if variable is not None:
            found.append((kind, variable))
    return found


def local_ports() -> dict[int, tuple[ProviderType, ...]]:
    """The loopback ports to look at, each with the engines that usually listen there, likeliest first."""
    ports: dict[int, tuple[ProviderType, ...]] = {}
    for kind in _TYPES:
        for port in kind.ports:
            ports[port] = (*ports.get(port, ()), kind)
    return ports


def engine_at(port: int, hints: Iterable[str] = ()) -> ProviderType | None:
    """Which engine answers at a loopback `port`; `hints` are its `server` header and the `owned_by` of its models.

    A hint that names a local type wins (`owned_by: llamacpp`, `server: llama.cpp`), then the likeliest of the port.
    """
    for hint in hints:
        kind = find_provider_type(hint.partition("/")[0])
        if kind is not None and kind.local:
            return kind
    return next(iter(local_ports().get(port, ())), None)
