"""The provider types hoosh knows, as data: how each is called, where it usually lives, whose key it wants.

A new vendor that speaks a dialect we have is a new row here.  Names are found in the reference's spelling
(`LlamaCpp`), in the wire name (`llamacpp`), and in whatever else a human types: case, `-`, `_`, `.` and blanks do not
count (`llama.cpp`, `LM Studio`, `open-router`).

Sources: reference section 3.1; product sections 3 and 5; wire notes 2.2 to 2.16 for base URLs and ports; the vendors'
own API references for `kinds`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from hoosh.values import CallKind

__all__ = [
    "PROVIDER_TYPES",
    "ProviderType",
    "engine_at",
    "find_provider_type",
    "keys_in",
    "local_ports",
    "suggest_provider_type",
]

_ALL = frozenset(CallKind)
# Prompt tokens are estimated here where a provider cannot count them: whoever chats can be asked.
_CHAT = frozenset({CallKind.CHAT, CallKind.TOKEN_COUNT})
_TEXT = _CHAT | {CallKind.COMPLETION}
_TEXT_AND_VECTORS = _TEXT | {CallKind.EMBEDDING}
_LISTENING = frozenset({CallKind.TRANSCRIPTION, CallKind.TRANSLATION})
_SPEAKING = frozenset({CallKind.SPEECH})


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
    """Which language it is spoken to in."""
    kinds: frozenset[CallKind] = _ALL
    """What it can be asked for; whether one of its models can is another question."""
    needs_key: bool = False
    usual_models: tuple[str, ...] = ()
    """Globs of the models it is known for: a guess, good until its own list has been read."""
    unlisted: tuple[str, ...] = ()
    """It has no list of models; what it does can be asked for by these names."""
    also: tuple[str, ...] = ()
    """Other names people use."""


_OPENAI_MODELS = (
    *("gpt-*", "chatgpt-*", "o[0-9]*", "codex-*", "computer-use-*", "ft:*", "text-embedding-*", "text-moderation-*"),
    *("omni-moderation-*", "dall-e-*", "whisper-1", "tts-*", "babbage-*", "davinci-*"),
)
_GOOGLE_MODELS = ("gemini-*", "gemma-*", "learnlm-*", "text-embedding-00*", "embedding-001", "models/*")
_MISTRAL_MODELS = (
    *("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "voxtral-*"),
    *("open-mistral-*", "open-mixtral-*"),
)
_GROQ_MODELS = (
    *("llama-3*", "llama3-*", "gemma2-*", "groq/*", "meta-llama/*", "moonshotai/*", "openai/gpt-oss-*", "qwen/*"),
    "whisper-large-*",
)


def _engine(
    wire: str,
    spelling: str,
    *ports: int,
    kinds: frozenset[CallKind],
    dialect: str = "openai",
    unlisted: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    home: int | None = None,
) -> ProviderType:
    """A local type.  `home` is the port of its base URL where that is not the first to look at."""
    url = f"http://localhost:{ports[0] if home is None else home}"
    return ProviderType(
        wire, spelling, True, url, ports=ports, dialect=dialect, kinds=kinds, unlisted=unlisted, also=also
    )


def _vendor(
    wire: str,
    spelling: str,
    url: str,
    *keys: str,
    models: tuple[str, ...],
    kinds: frozenset[CallKind],
    dialect: str = "openai",
    also: tuple[str, ...] = (),
) -> ProviderType:
    """A remote type."""
    return ProviderType(
        wire, spelling, False, url, keys, dialect=dialect, kinds=kinds, needs_key=True, usual_models=models, also=also
    )


# Local types first, then remote ones: the order in which discovered providers of equal priority are asked.
_TYPES = (
    _engine("ollama", "Ollama", 11434, kinds=_TEXT_AND_VECTORS, dialect="ollama"),
    _engine("llamacpp", "LlamaCpp", 8080, kinds=_TEXT_AND_VECTORS, also=("llama-server",)),
    _engine("lmstudio", "LmStudio", 1234, kinds=_TEXT_AND_VECTORS),
    _engine("vllm", "vLLM", 8000, kinds=_TEXT_AND_VECTORS | _LISTENING),
    # The reference says 8080; LocalAI has llama.cpp's port only when that one is not there, so 8081 is looked at too.
    _engine(
        "localai", "LocalAi", 8081, 8080, home=8080, kinds=_TEXT_AND_VECTORS | _SPEAKING | {CallKind.TRANSCRIPTION}
    ),
    # Ifran, its successor, listens on 8420.  History, tools and images are beyond it.
    _engine("synapse", "Synapse", 5000, 8420, kinds=_CHAT, also=("ifran",)),
    ProviderType(
        *("tensorrt", "TensorRT-LLM", True, "http://localhost:8000"),
        kinds=_TEXT_AND_VECTORS,
        also=("TensorRT", "TrtLlm"),
    ),
    ProviderType("onnx", "ONNX", True, "http://localhost:8000", kinds=_TEXT_AND_VECTORS, also=("ONNXRuntime",)),
    _engine(
        "whisper", "Whisper", 8080, kinds=_LISTENING, dialect="whisper", unlisted=("whisper-1",), also=("whisper.cpp",)
    ),
    _engine("piper", "Piper", 5000, kinds=_SPEAKING, dialect="piper", unlisted=("piper", "tts-1")),
    # openedai-speech, Kokoro-FastAPI and their like: OpenAI's speech path, and lists of voices' models.
    _engine("openedai", "openedai", 8000, 8880, kinds=_SPEAKING, also=("openedai-speech", "kokoro", "kokoro-fastapi")),
    _vendor("openai", "OpenAi", "https://api.openai.com", "OPENAI_API_KEY", models=_OPENAI_MODELS, kinds=_ALL),
    _vendor(
        *("anthropic", "Anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
        models=("claude-*",),
        kinds=_TEXT,
        dialect="anthropic",
        also=("claude",),
    ),
    _vendor(
        *("google", "Google", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
        models=_GOOGLE_MODELS,
        kinds=_TEXT_AND_VECTORS,
        dialect="gemini",
        also=("gemini", "google-gemini"),
    ),
    _vendor(
        "deepseek", "DeepSeek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", models=("deepseek-*",), kinds=_TEXT
    ),
    _vendor(
        *("mistral", "Mistral", "https://api.mistral.ai", "MISTRAL_API_KEY"),
        models=_MISTRAL_MODELS,
        kinds=_CHAT | _SPEAKING | {CallKind.EMBEDDING, CallKind.TRANSCRIPTION},
        also=("mistralai",),
    ),
    _vendor(
        *("groq", "Groq", "https://api.groq.com/openai", "GROQ_API_KEY"),
        models=_GROQ_MODELS,
        kinds=_CHAT | _LISTENING | _SPEAKING,
    ),
    _vendor(
        *("grok", "Grok", "https://api.x.ai", "XAI_API_KEY"),
        models=("grok-*",),
        kinds=_TEXT | _SPEAKING | {CallKind.TRANSCRIPTION},
        also=("xai",),
    ),
    _vendor(
        *("openrouter", "OpenRouter", "https://openrouter.ai/api", "OPENROUTER_API_KEY"),
        models=("*/*",),
        kinds=_TEXT_AND_VECTORS | _SPEAKING | {CallKind.TRANSCRIPTION},
    ),
    ProviderType("openai-compatible", "openai-compatible", False, None),
)

PROVIDER_TYPES: Mapping[str, ProviderType] = {kind.wire: kind for kind in _TYPES}
"""By wire name, in the order above."""


def _folded(name: str) -> str:
    return name.casefold().translate({ord(sign): None for sign in "-_. "})


_BY_NAME = {_folded(name): kind for kind in _TYPES for name in (kind.wire, kind.spelling, *kind.also)}


def find_provider_type(name: str) -> ProviderType | None:
    """The type called `name`, however it is spelled; None when there is none."""
    return _BY_NAME.get(_folded(name))


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
