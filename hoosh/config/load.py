"""Finding and loading a configuration file.

    text → tomllib → document → Reader (shape) → check_meaning (sense) → Config, or ConfigError with every mistake

Flags of the command line come in as `overrides` and are checked like the file they override.  Blocking: it reads a
small file or two, before the house is open.  Source: product sections 2 and 6; reference section 17.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from hoosh.config.locate import KeyPath, Lines
from hoosh.config.meaning import check_meaning
from hoosh.config.mistakes import Mistakes
from hoosh.config.proxies import with_proxy
from hoosh.config.read import Reader
from hoosh.config.schema import Config, Provider
from hoosh.config.secrets import SecretMissing, expand
from hoosh.config.spellings import under_usual_names
from hoosh.errors import ConfigError

__all__ = ["FILE_NAME", "Overrides", "find_config", "load", "loads", "places", "with_usual_key"]

FILE_NAME = "hoosh.toml"
MAX_FILE_BYTES = 1024 * 1024

Overrides = Mapping[KeyPath, object]
"""Values by key path, as in {("server", "port"): 9000}."""

_POSITION = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")


def places(environ: Mapping[str, str], cwd: Path) -> list[Path]:
    """Where a configuration is looked for, first one first."""
    home = environ.get("HOME")
    xdg = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    return [cwd / FILE_NAME, *([Path(xdg) / "hoosh" / FILE_NAME] if xdg else [])]


def find_config(explicit: str | Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file to load: the one asked for, which must be there, or the first of `places`, or None for the defaults."""
    if explicit is not None:
        return Path(explicit)
    return next((place for place in places(environ, cwd) if place.is_file()), None)


def load(path: Path | None, environ: Mapping[str, str], overrides: Overrides | None = None) -> Config:
    """The configuration in `path`, or the defaults when that is None.  Raises ConfigError with every mistake."""
    if path is None:
        return loads("", FILE_NAME, environ, overrides)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); check the path given by --config"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([f"{path}: is larger than {MAX_FILE_BYTES} bytes; this is not a configuration"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8 text; save the file as UTF-8"]) from None
    return loads(text, str(path), environ, overrides)


def loads(text: str, filename: str, environ: Mapping[str, str], overrides: Overrides | None = None) -> Config:
    """The configuration in `text`; `filename` is for messages, and relative paths start in its directory."""
    document = _parse(text, filename)
    for path, value in (overrides or {}).items():
        _put(document, path, value)
    mistakes = Mistakes(filename, Lines(text), (overrides or {}).keys())
    reader = Reader(mistakes, environ, Path(filename).absolute().parent)
    config = _with_usual_keys(reader.config(under_usual_names(document, mistakes)), reader, environ)
    config = _with_proxies(config, reader, environ)
    check_meaning(config, reader.placed, mistakes)
    sentences = mistakes.sentences()
    if sentences:
        raise ConfigError(sentences)
    return config


def _parse(text: str, filename: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{filename}:1: is nested too deeply; this is not a configuration"]) from None
    except ValueError as error:
        # tomllib quotes single signs and names of keys, never values.
        reason = str(error)
        found = _POSITION.search(reason)
        line = found[1] if found and found[1] else text.count("\n") + 1
        raise ConfigError([f"{filename}:{line}: TOML: {_POSITION.sub('', reason)}; correct this line first"]) from None


def _put(document: dict[str, object], path: KeyPath, value: object) -> None:
    """Set `path` in the document, unless something that is no table stands in its way: then that is the mistake."""
    table: object = document
    for step in path[:-1]:
        table = table.setdefault(str(step), {}) if isinstance(table, dict) else None
    if isinstance(table, dict):
        table[path[-1]] = value


def _with_usual_keys(config: Config, reader: Reader, environ: Mapping[str, str]) -> Config:
    """Give providers that name no key the one in their usual variable: but only at their usual address.

    A key must not go to whatever host a configuration names.
    """
    placed = reader.placed[Provider]
    for number, (path, provider) in enumerate(placed):
        placed[number] = (path, with_usual_key(provider, path, reader.mistakes, environ))
    return replace(config, providers=tuple(provider for _, provider in placed))


def with_usual_key(provider: Provider, path: KeyPath, mistakes: Mistakes, environ: Mapping[str, str]) -> Provider:
    """With the key of its usual variable, where it has none and is at its usual address."""
    kind = provider.kind
    usual = not provider.has_key and provider.is_at_home and not provider.brings_its_own_key
    if not usual or mistakes.touch((*path, "api_key"), (*path, "keys")):
        return provider
    variable = next((name for name in kind.key_variables if environ.get(name, "").strip()), None)
    if variable is None:
        return provider
    try:
        return replace(provider, api_key=expand(f"${variable}", environ, Path()))
    except SecretMissing as wrong:
        mistakes.add(path, f"the key in {variable} {wrong}")
        return provider


def _with_proxies(config: Config, reader: Reader, environ: Mapping[str, str]) -> Config:
    """Give providers whose proxy is "env" the one that the environment names for their address."""
    placed = reader.placed[Provider]
    placed[:] = [(path, with_proxy(provider, environ)) for path, provider in placed]
    return replace(config, providers=tuple(provider for _, provider in placed))
