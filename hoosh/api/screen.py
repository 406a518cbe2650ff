"""What `hoosh-trio serve` says when it is up: one screen, and a command to try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hoosh.config import Config
from hoosh.values import Capability, ModelCard, ProviderState

__all__ = ["start_screen"]

SHOWN = 8

NO_CHAT = frozenset({Capability.TRANSCRIPTION, Capability.SPEECH, Capability.EMBEDDINGS})
"""What can do nothing else is not asked to chat."""


def start_screen(
    config: Config,
    *,
    version: str,
    address: str,
    config_path: Path | None,
    providers: Sequence[ProviderState],
    models: Sequence[ModelCard],
    ledger: str = "",
) -> str:
    """The screen, without a key in it.  `ledger` is where the books are kept; "" is memory."""
    names = [model.id for model in models]
    chatting = [model.id for model in models if not model.facts.can or model.facts.can - NO_CHAT]
    real = next((name for name in chatting if name != "echo"), "echo" if chatting else "MODEL")
    key = ' -H "authorization: Bearer $HOOSH_API_KEY"' if config.all_keys() else ""
    body = f'{{"model":"{real}","stream":true,"messages":[{{"role":"user","content":"salam donya"}}]}}'
    lines = [
        f"hoosh {version} is listening on {address}",
        "",
        f"  config     {config_path or 'none (defaults)'}",
        f"  keys       {len(config.all_keys()) or 'none: whoever reaches this address may use it'}",
        f"  budgets    {_some([budget.name for budget in config.budgets]) or 'none: nothing is refused for its price'}",
        f"  ledger     {ledger or 'in memory: gone when this stops'}",
        f"  providers  {_some([_provider_text(p) for p in providers]) or 'none found'}",
        f"  models     {_some(names) or 'none known yet'}",
        "",
        "Try:",
        f"  curl -N {_curl_address(address)}/v1/chat/completions \\",
        f"    -H 'content-type: application/json'{key} \\",
        f"    -d '{body}'",
        "",
    ]
    return "\n".join(lines)


def _provider_text(provider: ProviderState) -> str:
    return f"{provider.name} ({'local' if provider.local else 'remote'})"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _curl_address(address: str) -> str:
    return f"--unix-socket {address.removeprefix('unix:')} http://localhost" if address.startswith("unix:") else address
