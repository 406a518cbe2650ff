"""Mistakes that no single key shows: names given twice, a door without a lock, an alias that leads nowhere.

Each rule is one function over the structs as read, together with where they stand in the file.  Those about money,
limits and audit have a module of their own, `books.py`, and so have those about connections: `connections.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import inf
from typing import Any

from msgspec import Struct

from hoosh.access import Key, digest_of
from hoosh.catalogue import PROVIDER_TYPES
from hoosh.config.address import MAX_SOCKET_PATH_BYTES, url_mistake, webhook_url_mistake
from hoosh.config.books import check_books
from hoosh.config.connections import check_authorities, check_connection, check_server_tls
from hoosh.config.locate import KeyPath
from hoosh.config.mistakes import Mistakes, did_you_mean
from hoosh.config.naming import IMPOSSIBLE_NAME, Placed, check_names, is_name
from hoosh.config.schema import Alias, Config, Provider, Retry, Server, Webhook, Whisper
from hoosh.events import secret_mistake, topic_mistake

__all__ = ["EMBEDDED", "check_meaning"]

EMBEDDED = "echo"
"""Provider and model of this name are always hoosh's own."""


def check_meaning(config: Config, placed: Mapping[type[Struct], Placed[Any]], mistakes: Mistakes) -> None:
    """Add what is wrong with `config` as a whole.  Of the files it names those for TLS are opened, and only those.

    `placed` holds the items of each list of tables, by their kind.
    """
    providers, keys, aliases = placed.get(Provider, ()), placed.get(Key, ()), placed.get(Alias, ())
    _check_listener(config.server, mistakes)
    check_server_tls(config.server, mistakes)
    _check_door_is_locked(config, mistakes)
    for path, provider in providers:
        _check_provider(path, provider, mistakes)
        check_connection(path, provider, mistakes)
        _check_keys(path, provider, mistakes)
        _check_first_token(path, provider, mistakes)
    check_names("provider", providers, mistakes)
    check_names("key", keys, mistakes)
    check_names("alias", aliases, mistakes)
    _check_keys_differ(config, keys, mistakes)
    reach = _Reach(config)
    _check_aliases(config, aliases, reach, mistakes)
    _check_delays(config.retry, mistakes)
    check_books(config, placed, reach.known, mistakes)
    _check_webhooks(config, placed.get(Webhook, ()), mistakes)
    _check_whisper(config.whisper, mistakes)


def _check_whisper(whisper: Whisper, mistakes: Mistakes) -> None:
    if whisper.model is not None and whisper.models_dir is None and "/" not in whisper.model:
        message = "is a name, and there is no models_dir to find it in; add models_dir, or give the path of a file"
        mistakes.add(("whisper", "model"), message)


def _check_listener(server: Server, mistakes: Mistakes) -> None:
    if server.unix_socket is not None:
        path = ("server", "unix_socket")
        if len(os.fsencode(server.unix_socket)) > MAX_SOCKET_PATH_BYTES:
            mistakes.add(path, f"is longer than the {MAX_SOCKET_PATH_BYTES} bytes a socket path may have; shorten it")
        elif not os.path.isdir(os.path.dirname(server.unix_socket)):
            mistakes.add(path, "its directory does not exist; create it first")


def _check_door_is_locked(config: Config, mistakes: Mistakes) -> None:
    unsure = mistakes.touch(("server", "bind"), ("keys",), ("auth",), ("server", "unix_socket"))
    if unsure or not config.is_open_to_strangers():
        return
    mistakes.add(
        ("server", "bind"),
        f"{config.server.bind} can be reached from other machines, and there is no key to keep strangers out; add "
        "[[keys]] with a name and a key, or bind 127.0.0.1, or say allow_public_without_keys = true",
    )


def _check_provider(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    kind = provider.kind
    if not is_name(provider.name):
        mistakes.add((*path, "name"), IMPOSSIBLE_NAME)
    elif provider.name.casefold() == EMBEDDED:
        mistakes.add((*path, "name"), f"`{EMBEDDED}` is the embedded provider's name; choose another")
    if provider.base_url:
        wrong = url_mistake(provider.base_url)
        if wrong is not None:
            mistakes.add((*path, "base_url"), wrong)
    elif not mistakes.touch((*path, "base_url")):
        mistakes.add((*path, "base_url"), f"is missing, and type {kind.wire} has no usual one; add base_url = ...")
    if provider.accelerator_bytes is not None and not provider.is_local:
        mistakes.add(
            (*path, "accelerator_bytes"), "is only looked at for a local provider, and this one is not; remove it"
        )


def _check_keys(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    kind = provider.kind
    if provider.has_key and "authorization" in provider.headers:
        other = "there are keys" if provider.keys else "there is an api_key"
        mistakes.add((*path, "headers", "authorization"), f"{other} too; keep one of the two")
    if mistakes.touch((*path, "api_key"), (*path, "keys")):
        return
    wants_key = provider.enabled and kind.needs_key and provider.is_at_home and not provider.brings_its_own_key
    if wants_key and not provider.has_key:
        variable = kind.key_variables[0]
        advice = f'add api_key = "${variable}" and set that environment variable'
        mistakes.add((*path, "api_key"), f"is missing; {advice}")
    seen = {provider.api_key}
    for number, key in enumerate(provider.keys):
        if key in seen:  # two candidates that share one account would share its limits and its failures, too
            mistakes.add((*path, "keys", number), "is a key that this provider has already; remove it")
        seen.add(key)


def _check_first_token(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    """Only where somebody has written it: the default is meant for all totals.  Infinity switches it off."""
    limit_s, total_s = provider.timeouts.first_token_s, provider.timeouts.total_s
    where = (*path, "timeouts", "first_token_s")
    if where in mistakes.lines.known and total_s < limit_s < inf:
        mistakes.add(where, f"is {limit_s:g}, and total_s ends the exchange after {total_s:g} already; write less")


def _check_delays(retry: Retry, mistakes: Mistakes) -> None:
    base, most = ("retry", "base_delay_ms"), ("retry", "max_delay_ms")
    if retry.base_delay_ms <= retry.max_delay_ms or mistakes.touch(base, most):
        return
    if base in mistakes.lines.known:
        said = f"is {retry.base_delay_ms}, more than max_delay_ms, which is {retry.max_delay_ms}"
        mistakes.add(base, f"{said}; lower it, or raise that")
    else:
        said = f"is {retry.max_delay_ms}, less than base_delay_ms, which is {retry.base_delay_ms}"
        mistakes.add(most, f"{said}; raise it, or lower that")


def _check_webhooks(config: Config, webhooks: Placed[Webhook], mistakes: Mistakes) -> None:
    check_names("webhook", webhooks, mistakes)
    for path, webhook in webhooks:
        if not is_name(webhook.name):
            mistakes.add((*path, "name"), IMPOSSIBLE_NAME)
        if not webhook.topics and not mistakes.some(lambda at, path=path: at[:3] == (*path, "topics")):  # type: ignore[misc]
            mistakes.add((*path, "topics"), 'is empty; name at least one: topics = ["providers/#"]')
        for number, topic in enumerate(webhook.topics):
            if wrong := topic_mistake(topic):
                mistakes.add((*path, "topics", number), wrong)
        if not webhook.enabled:
            continue
        if wrong := webhook_url_mistake(webhook.url.reveal()):
            mistakes.add((*path, "url"), wrong)
        if wrong := secret_mistake(webhook.secret):
            mistakes.add((*path, "secret"), wrong)
        if isinstance(webhook.verify, str):
            check_authorities((*path, "verify"), webhook.verify, mistakes)
        if not config.events.enabled:
            mistakes.add((*path, "enabled"), "there are no events for it: [events].enabled is false")


def _check_keys_differ(config: Config, keys: Placed[Key], mistakes: Mistakes) -> None:
    """One key, one name: otherwise nobody could say who called."""
    seen: dict[bytes, str] = {}
    for path, key in keys:
        other = seen.setdefault(digest_of(key.key), key.name)
        if other is not key.name:
            mistakes.add((*path, "key"), f"is the same key as that of `{other[:64]}`; give each its own")
    names = {key.name.casefold() for _, key in keys}
    for number, token in enumerate(config.auth.tokens):
        if (name := f"token-{number + 1}") in names:
            advice = "call the key something else"
            mistakes.add(("auth", "tokens"), f"token {number + 1} is known as `{name}`, and so is a key; {advice}")
        other = seen.setdefault(digest_of(token), f"token {number + 1}")
        if other != f"token {number + 1}":
            mistakes.add(("auth", "tokens"), f"token {number + 1} is the same key as `{other[:64]}`; remove it")


def _check_aliases(config: Config, aliases: Placed[Alias], reach: _Reach, mistakes: Mistakes) -> None:
    names = {alias.name for _, alias in aliases}
    # A provider whose name or type could not be read is missing from `config`: better silent than wrong.
    complete = not mistakes.some(lambda at: at[:1] == ("providers",) and at[2:3] in ((), ("type",), ("name",)))
    for path, alias in aliases:
        if alias.name == EMBEDDED and config.discovery.echo:
            mistakes.add((*path, "name"), f"`{EMBEDDED}` is the embedded model's name; choose another")
        if not alias.targets and not mistakes.touch((*path, "targets", 0)):
            mistakes.add((*path, "targets"), 'is empty; name at least one model: targets = ["provider/model"]')
        for number, target in enumerate(alias.targets):
            if target in names and target != alias.name:
                mistakes.add((*path, "targets", number), "names another alias; name the models themselves")
            elif complete and (wrong := reach.mistake(target)):
                mistakes.add((*path, "targets", number), wrong)


class _Reach:
    """Which providers an alias may name: those configured, and those that discovery may find."""

    def __init__(self, config: Config) -> None:
        found = config.discovery
        discovered = [
            kind.wire
            for kind in PROVIDER_TYPES.values()
            if (kind.ports and found.local) or (kind.key_variables and found.environment)
        ]
        self.names = [provider.name for provider in config.providers]
        self.known: Mapping[str, None] = dict.fromkeys([*self.names, EMBEDDED, *discovered])

    def mistake(self, target: str) -> str | None:
        """What is wrong with a target: a name before its slash that is no provider's."""
        name, slash, model = target.partition("/")
        if not slash or (name in self.known and model):
            return None
        if name in self.known:
            return f"names the provider `{name[:64]}`, but no model; write {name[:64]}/MODEL"
        known = self.names or list(self.known)
        return (
            f"no provider is called `{name[:64]}`; {did_you_mean(name, known)} "
            "(a model whose own name has a slash needs its provider before it: PROVIDER/its/name)"
        )
