"""Which names mean a model of Ollama's cloud?  A server at home sends what it is asked there on to ollama.com.

    gpt-oss:cloud   gpt-oss:120b-cloud    by the tag, in letters of any size, pulled or not
    anything else                         by the list: an entry with a `remote_host`, whatever its owner calls it

Source: ollama/ollama, internal/modelref/modelref.go (`parseSourceSuffix`), api/types.go (`ListModelResponse`), types/
model/name.go (defaults); docs.ollama.com/cloud.
"""

from __future__ import annotations

__all__ = ["is_cloud_name", "whole_name"]

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
"""Of names that say none."""


def is_cloud_name(model: str) -> bool:
    """Its tag is `cloud`, or ends in `-cloud`."""
    _, colon, tag = model.rpartition(":")
    word = tag.strip().casefold()
    return bool(colon) and (word == "cloud" or (word.endswith("-cloud") and "/" not in word))


def whole_name(model: str) -> str:
    """The same for all names by which Ollama knows one model: `Qwen3`, `library/qwen3:latest`, …"""
    name = model.strip().casefold().rpartition("://")[2]
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, TAG
    parts = path.split("/")
    if len(parts) < 3:
        parts = [HOST, *([NAMESPACE] if len(parts) == 1 else []), *parts]
    return f"{'/'.join(parts)}:{tag}"
