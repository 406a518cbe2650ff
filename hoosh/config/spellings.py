"""Other names and spellings of what is configured: a configuration written for the reference is understood.

    [server] strategy = "round-robin"           is   [routing] strategy = "round_robin"
    [server] health_check_interval_secs = 30    is   [health] interval_secs = 30
    [tts] url = "http://localhost:8000"         is   one of [[providers]], of type openedai, called `tts`

What is moved keeps its place in the file: a mistake in it is told where it is written.  Said at both places it must be
the same.  Source: reference sections 4.3, 15 and 17.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from hoosh.config.locate import KeyPath, spell
from hoosh.config.mistakes import Mistakes, did_you_mean
from hoosh.routing import Strategy

__all__ = ["spelled", "under_usual_names"]

Document = Mapping[str, object]
Name = tuple[str, str]
"""A section and a key of it."""

OTHER_NAMES: Mapping[Name, Name] = {
    ("server", "strategy"): ("routing", "strategy"),
    ("server", "health_check_interval_secs"): ("health", "interval_secs"),
}
STRATEGIES = frozenset(get_args(Strategy))
TTS = "tts"
TTS_KEYS = ("url", "api_key", "model")


def under_usual_names(document: Document, mistakes: Mistakes) -> Document:
    """The document with every key under the name that it has here.  The one given is not changed."""
    for other, usual in OTHER_NAMES.items():
        section = document.get(other[0])
        if isinstance(section, Mapping) and other[1] in section:
            document = _moved(document, section, other, usual, mistakes)
    return _with_speech(document, mistakes)


def _moved(document: Document, section: Document, other: Name, usual: Name, mistakes: Mistakes) -> Document:
    rest = {name: value for name, value in section.items() if name != other[1]}
    document = {**document, other[0]: rest}
    value = section[other[1]]
    home = document.get(usual[0], {})
    if not isinstance(home, Mapping):
        return document  # whoever reads that section says what is wrong with it
    if usual[1] not in home:
        mistakes.written_as(usual, other)
        return {**document, usual[0]: {**home, usual[1]: value}}
    if spelled(home[usual[1]]) != spelled(value):
        path: KeyPath = usual
        mistakes.add(other, f"is another name for {spell(path)}, which says something else; keep one of the two")
    return document


def _with_speech(document: Document, mistakes: Mistakes) -> Document:
    """`[tts]` as a provider behind the others; the reference asks it for `tts-1`, whatever it is."""
    section, providers = document.get(TTS), document.get("providers", [])
    if TTS not in document:
        return document
    rest = {name: value for name, value in document.items() if name != TTS}
    if not isinstance(section, Mapping):
        mistakes.add((TTS,), "must be a table; write [tts] and url = ...")
        return rest
    for name in section:
        if name not in TTS_KEYS:
            mistakes.add((TTS, name), f"unknown key; {did_you_mean(name, TTS_KEYS)}")
    if not isinstance(providers, list):
        return rest  # whoever reads them says what is wrong
    provider: dict[str, object] = {"type": "openedai", "name": TTS, "models": [section.get("model", "tts-1")]}
    number = len(providers)
    mistakes.written_as(("providers", number), (TTS,))
    mistakes.written_as(("providers", number, "models", 0), (TTS, "model"))
    for ours, theirs in (("base_url", "url"), ("api_key", "api_key")):
        mistakes.written_as(("providers", number, ours), (TTS, theirs))
        if theirs in section:
            provider[ours] = section[theirs]
    if "url" not in section:
        mistakes.add((TTS, "url"), "is missing; add url = ...")
        return rest
    return {**rest, "providers": [*providers, provider]}


def spelled(strategy: object) -> object:
    """A strategy as we write it; what is none stays as it is."""
    if not isinstance(strategy, str):
        return strategy
    word = "round_robin" if strategy == "roundrobin" else strategy.replace("-", "_")
    return word if word in STRATEGIES else strategy
