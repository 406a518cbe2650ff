"""The recorded traffic in ../shared/wire, as values.  Empty where it is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

WIRE = Path(__file__).resolve().parents[2].parent / "shared" / "wire"
OPENAI_KINDS = ("chat", "completions", "embeddings")
# Native dialects of these two are recorded under the same kind names.
FOREIGN = {("gemini", "embeddings"), ("ollama", "embeddings")}


class Recording(Struct, frozen=True):
    name: str
    provider: str
    kind: str
    status: int
    streaming: bool
    headers: dict[str, str]
    request: bytes | None
    response: bytes | None

    @property
    def reply(self) -> Any:
        return json.loads(self.response or b"")


@cache
def recordings() -> list[Recording]:
    """Every exchange in an OpenAI dialect, recorded or documented."""
    found = []
    for meta_path in sorted(WIRE.glob("*/*/*.meta.json")):
        meta = json.loads(meta_path.read_text())
        endpoint = meta.get("endpoint") or ""
        if meta["kind"] not in OPENAI_KINDS or (meta["provider"], meta["kind"]) in FOREIGN or "/api/chat" in endpoint:
            continue
        found.append(_read(meta_path, meta))
    return found


def _read(meta_path: Path, meta: dict[str, Any]) -> Recording:
    name = meta_path.name.removesuffix(".meta.json")
    files = meta["files"]
    bodies = {role: (meta_path.parent / files[role]).read_bytes() for role in ("request", "response") if role in files}
    return Recording(
        f"{meta_path.parent.parent.name}/{meta_path.parent.name}/{name}",
        meta["provider"],
        meta["kind"],
        meta["status"],
        meta["streaming"],
        meta.get("response_headers") or {},
        bodies.get("request"),
        bodies.get("response"),
    )


def pick(chosen: Callable[[Recording], bool]) -> list[Recording]:
    return [recording for recording in recordings() if chosen(recording)]
