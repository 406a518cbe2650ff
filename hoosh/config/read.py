"""From a parsed TOML document to structs, field by field, gathering every mistake of shape on the way.

`msgspec.convert` stops at the first mistake; here each leaf is converted alone, and a field that cannot be read
falls back to its default so that the rest is still looked at.  The few keys that are written otherwise than they are
kept (secrets, paths, dates) have a reader of their own in `_SPECIAL`.  What the values mean together: `meaning.py`.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, inspect
from msgspec.structs import FieldInfo, fields

from hoosh.catalogue import PROVIDER_TYPES, suggest_provider_type
from hoosh.config.address import is_host, url_mistake
from hoosh.config.kinds import kind_named
from hoosh.config.leaf import ITEM, Wrong, leaf, what
from hoosh.config.locate import KeyPath, spell
from hoosh.config.mistakes import Mistakes, did_you_mean, show
from hoosh.config.schema import (
    Alias,
    Audit,
    Auth,
    Budget,
    Cache,
    Config,
    Hardware,
    Http2,
    Key,
    Logging,
    Provider,
    Routing,
    Server,
    Storage,
    Telemetry,
    Webhook,
    Whisper,
)
from hoosh.config.secrets import SecretMissing, expand, path_from
from hoosh.config.spellings import spelled
from hoosh.config.state import store_url
from hoosh.hardware.settings import BACKENDS, backend_named
from hoosh.observe.settings import LEVELS, ROOMS
from hoosh.routing import Strategy
from hoosh.values import Capability
from hoosh.values.caller import SCOPES
from hoosh.values.secret import Secret

__all__ = ["Reader"]

_HIDDEN = frozenset({(Provider, "origin")})
"""Fields that no file may set."""

_LATER: Mapping[type[Struct], frozenset[str]] = {
    Config: frozenset({"dlp", "compression", "tools", "mcp", "speech", "context"}),
    Server: frozenset({"workers", "public_url", "cors_origins"}),
    Provider: frozenset({"region", "tags"}),
    Cache: frozenset({"semantic", "warming", "warming_prompts"}),
    Storage: frozenset({"coordination"}),
}
"""Names of the product and the reference that this version does not act upon: refused, not ignored."""

MAX_CAPACITY = 2**64 - 1
"""Of a budget: the reference's u64."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"}
)


class Reader:
    """Reads one document.  `placed` remembers where each item of a list of tables stands."""

    def __init__(self, mistakes: Mistakes, environ: Mapping[str, str], folder: Path) -> None:
        self.mistakes = mistakes
        self.environ = environ
        self.folder = folder
        self.placed: defaultdict[type[Struct], list[tuple[KeyPath, Any]]] = defaultdict(list)
        self._forgiving = False
        """Inside a table that is switched off: its secrets need not exist."""

    def config(self, document: Mapping[str, object]) -> Config:
        return cast(Config, self._table(Config, document, ()))

    def _table(self, kind: type[Struct], value: object, path: KeyPath) -> Struct | None:
        """A struct from a table, or None when something that must be there is not or cannot be read."""
        if not isinstance(value, Mapping):
            self.mistakes.add(path, f"is {what(value)}, must be a table")
            return None
        known = {field.encode_name: field for field in fields(kind) if (kind, field.name) not in _HIDDEN}
        for name in value:
            if name not in known:
                self.mistakes.add((*path, name), self._unknown(kind, name, value[name], list(known)))
        switch = known.get("enabled")
        before, self._forgiving = self._forgiving, value.get("enabled", switch and switch.default) is False
        read: dict[str, object] = {}
        complete = True
        for name, field in known.items():
            if name in value:
                self._field(kind, field, value[name], (*path, name), read)
            elif field.required:
                self.mistakes.add((*path, name), f"is missing; add {name} = ...")
            complete = complete and (field.name in read or not field.required)
        self._forgiving = before
        return kind(**read) if complete else None

    def _field(
        self, kind: type[Struct], field: FieldInfo, value: object, path: KeyPath, read: dict[str, object]
    ) -> None:
        special = _SPECIAL.get((kind, field.name))
        info = inspect.type_info(field.type)
        try:
            if special is not None:
                read[field.name] = special(self, value, path)
            elif isinstance(info, inspect.StructType):
                table = self._table(info.cls, value, path)
                if table is not None:
                    read[field.name] = table
            elif isinstance(info, inspect.VarTupleType) and isinstance(info.item_type, inspect.StructType):
                read[field.name] = self._tables(info.item_type.cls, value, path)
            elif isinstance(info, inspect.VarTupleType):
                read[field.name] = self._list(field, info, value, path)
            else:
                read[field.name] = leaf(field.type, info, value)
        except (Wrong, SecretMissing) as wrong:
            self._refuse(wrong, path)

    def _refuse(self, wrong: Wrong | SecretMissing, path: KeyPath) -> None:
        if not (self._forgiving and isinstance(wrong, SecretMissing)):
            self.mistakes.add(path, str(wrong))

    def _tables(self, kind: type[Struct], value: object, path: KeyPath) -> tuple[Struct, ...]:
        if not isinstance(value, list):
            raise Wrong(f"is {what(value)}, must be a list of tables; write [[{spell(path)}]]")
        items = []
        for number, item in enumerate(value):
            table = self._table(kind, item, (*path, number))
            if table is not None:
                self.placed[kind].append(((*path, number), table))
                items.append(table)
        return tuple(items)

    def _list(self, field: FieldInfo, info: inspect.VarTupleType, value: object, path: KeyPath) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise Wrong(f'is {what(value)}, must be a list; write {field.encode_name} = ["..."]')
        items: list[object] = []
        for number, item in enumerate(value):
            try:
                items.append(leaf(ITEM[type(info.item_type)], info.item_type, item))
            except Wrong as wrong:
                self.mistakes.add((*path, number), str(wrong))
        return tuple(items)

    def _unknown(self, kind: type[Struct], name: str, value: object, known: list[str]) -> str:
        is_section = kind is Config and isinstance(value, dict | list)
        word = "section" if is_section else "key"
        if name in _LATER.get(kind, ()):
            return f"unknown {word}: this version of hoosh cannot do that yet; remove it"
        if kind is Config and not is_section:
            homes = [field.encode_name for field in fields(Config) if name in _names(field.type)]
            if len(homes) == 1:
                return f"unknown key; it belongs below [{homes[0]}]"
        return f"unknown {word}; {did_you_mean(name, known)}"

    # -- keys that are written otherwise than they are kept ---------------------------------------

    def _secret(self, value: object, path: KeyPath) -> Secret:
        if not isinstance(value, str):
            raise Wrong(f"is {what(value)}, must be text: a key, $VARIABLE or file:PATH")
        return expand(value, self.environ, self.folder)

    def _secrets(self, value: object, path: KeyPath) -> tuple[Secret, ...]:
        return self._each(self._secret, value, path, example='["$FIRST_KEY", "$SECOND_KEY"]')

    def _own_keys(self, value: object, path: KeyPath) -> tuple[Secret, ...]:
        return self._each(self._own_key, value, path, example='["$TOKEN"]')

    def _each(
        self, read: Callable[[object, KeyPath], Secret], value: object, path: KeyPath, *, example: str
    ) -> tuple[Secret, ...]:
        if not isinstance(value, list):
            raise Wrong(f"is {what(value)}, must be a list; write {path[-1]} = {example}")
        found = []
        for number, item in enumerate(value):
            try:
                found.append(read(item, (*path, number)))
            except (Wrong, SecretMissing) as wrong:
                self._refuse(wrong, (*path, number))
        return tuple(found)

    def _own_key(self, value: object, path: KeyPath) -> Secret:
        """A key that clients present to us: it must fit into a header, or be a whole digest."""
        secret = self._secret(value, path)
        text = secret.reveal()
        if text.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-fA-F]{64}", text):
            raise Wrong("is not a SHA-256 digest; write sha256: and 64 hexadecimal digits")
        if " " in text:
            raise Wrong("holds a blank, which no client can send in a key; choose a key without")
        return secret

    def _headers(self, value: object, path: KeyPath) -> dict[str, Secret]:
        if not isinstance(value, dict):
            raise Wrong(f'is {what(value)}, must be a table; write headers = {{ name = "value" }}')
        headers: dict[str, Secret] = {}
        for name, text in value.items():
            try:
                _check_header_name(name, headers)
                headers[name.lower()] = self._secret(text, (*path, name))
            except (Wrong, SecretMissing) as wrong:
                self._refuse(wrong, (*path, name))
        return headers

    def _bind(self, value: object, path: KeyPath) -> str:
        host = value.strip("[]") if isinstance(value, str) else ""
        if not is_host(host):
            raise Wrong("is no host or address; write 127.0.0.1, ::1 or a host name, without a port")
        return host

    def _path(self, value: object, path: KeyPath) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise Wrong(f"is {what(value)}, must be the path of a file")
        return str(path_from(value, self.folder))

    def _whisper_model(self, value: object, path: KeyPath) -> str:
        """A path, or the plain name of a file in `models_dir`."""
        if isinstance(value, str) and value and "/" not in value and not value.endswith(".bin"):
            return value
        return self._path(value, path)

    def _paths(self, value: object, path: KeyPath) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Wrong(f'is {what(value)}, must be a list of paths; write {path[-1]} = ["ca.pem"]')
        found = []
        for number, item in enumerate(value):
            try:
                found.append(self._path(item, (*path, number)))
            except Wrong as wrong:
                self.mistakes.add((*path, number), str(wrong))
        return tuple(found)

    def _verify(self, value: object, path: KeyPath) -> bool | str:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str):
            raise Wrong(f"is {what(value)}, must be true, false or the path of a PEM file")
        return self._path(value, path)

    def _http2(self, value: object, path: KeyPath) -> Http2:
        if isinstance(value, bool):
            return Http2.ALPN if value else Http2.OFF
        if isinstance(value, str) and value in list(Http2):
            return Http2(value)
        shown = show(value) if isinstance(value, str) else what(value)
        raise Wrong(f'is {shown}, must be "off", "alpn", "prior", true (alpn) or false (off)')

    def _capacity(self, value: object, path: KeyPath) -> float:
        """Exact where it is a whole number: a float would round the large ones."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_CAPACITY:
            raise Wrong(f"is {what(value)}, must be a number from 0 to {MAX_CAPACITY}")
        return value

    def _store(self, value: object, path: KeyPath) -> str:
        if not isinstance(value, str):
            raise Wrong(f"is {what(value)}, must be text: sqlite:///PATH or memory:")
        url, mistake = store_url(value, self.folder)
        if mistake:
            raise Wrong(mistake)
        return url

    def _type(self, value: object, path: KeyPath) -> str:
        if not isinstance(value, str):
            raise Wrong(f"is {what(value)}, must be text: one of {', '.join(PROVIDER_TYPES)}")
        kind = kind_named(value)
        if kind is not None:
            return kind.wire
        if value.casefold() == "echo":
            raise Wrong("echo is built in and needs no entry; [discovery] echo = false switches it off")
        near = suggest_provider_type(value)
        hint = f"did you mean `{near}`?" if near else f"known here: {', '.join(PROVIDER_TYPES)}"
        raise Wrong(f"{show(value)} is no provider type; {hint}")

    def _scopes(self, value: object, path: KeyPath) -> tuple[str, ...]:
        return self._words("scope", sorted(SCOPES), value, path)

    def _capabilities(self, value: object, path: KeyPath) -> tuple[Capability, ...]:
        return tuple(map(Capability, self._words("capability", [word.value for word in Capability], value, path)))

    def _backends(self, value: object, path: KeyPath) -> tuple[str, ...]:
        if isinstance(value, list):
            value = [backend_named(name) or name if isinstance(name, str) else name for name in value]
        return self._words("backend", list(BACKENDS), value, path)

    def _words(self, noun: str, words: list[str], value: object, path: KeyPath) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Wrong(f"is {what(value)}, must be a list of {', '.join(words)}")
        for number, word in enumerate(value):
            if word not in words:
                shown = show(word) if isinstance(word, str) else what(word)
                self.mistakes.add((*path, number), f"{shown} is no {noun}; {did_you_mean(str(word), words)}")
        return tuple(word for word in value if word in words)

    def _levels(self, value: object, path: KeyPath) -> dict[str, str]:
        if not isinstance(value, dict):
            raise Wrong(f'is {what(value)}, must be a table; write [logging.levels] and http = "debug"')
        read = {}
        for room, level in value.items():
            if room not in ROOMS:
                self.mistakes.add((*path, room), f"no room is called so; {did_you_mean(room, ROOMS)}")
            elif level not in LEVELS:
                shown = show(level) if isinstance(level, str) else what(level)
                self.mistakes.add((*path, room), f"is {shown}, must be one of {', '.join(LEVELS)}")
            else:
                read[room] = level
        return read

    def _resource(self, value: object, path: KeyPath) -> dict[str, str]:
        """Attributes of the resource: texts by name."""
        if not isinstance(value, dict):
            raise Wrong(f'is {what(value)}, must be a table; write resource = {{ "deployment.environment" = "prod" }}')
        for name, text in value.items():
            if not isinstance(text, str) or not text:
                self.mistakes.add((*path, name), f"is {what(text)}, must be text")
        return {name: text for name, text in value.items() if isinstance(text, str) and text}

    def _collector(self, value: object, path: KeyPath) -> str:
        wrong = url_mistake(value) if isinstance(value, str) else f"is {what(value)}, must be a URL"
        if wrong is not None:
            raise Wrong(wrong)
        return str(value)

    def _strategy(self, value: object, path: KeyPath) -> object:
        return leaf(Strategy, inspect.type_info(Strategy), spelled(value))

    def _expires(self, value: object, path: KeyPath) -> float:
        """Unix time of a date and time (UTC where no offset is given) or of the end of a date."""
        if isinstance(value, str):
            try:
                value = _from_iso(value)
            except ValueError:
                raise Wrong("is not a date; write expires = 2030-12-31 or 2030-12-31T18:00:00Z") from None
        if isinstance(value, datetime.datetime):
            moment = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
            return moment.timestamp()
        if isinstance(value, datetime.date):
            midnight = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
            return midnight.timestamp() + 86_400
        raise Wrong(f"is {what(value)}, must be a date; write expires = 2030-12-31 or 2030-12-31T18:00:00Z")


_SPECIAL: Mapping[tuple[type[Struct], str], Callable[[Reader, object, KeyPath], object]] = {
    (Server, "bind"): Reader._bind,
    (Server, "unix_socket"): Reader._path,
    (Server, "tls_cert"): Reader._path,
    (Server, "tls_key"): Reader._path,
    (Server, "tls_client_ca"): Reader._path,
    (Auth, "tokens"): Reader._own_keys,
    (Key, "key"): Reader._own_key,
    (Key, "scopes"): Reader._scopes,
    (Key, "expires_s"): Reader._expires,
    (Alias, "capabilities"): Reader._capabilities,
    (Alias, "strategy"): Reader._strategy,
    (Routing, "strategy"): Reader._strategy,
    (Hardware, "disabled_backends"): Reader._backends,
    (Provider, "type"): Reader._type,
    (Provider, "api_key"): Reader._secret,
    (Provider, "keys"): Reader._secrets,
    (Provider, "headers"): Reader._headers,
    (Provider, "verify"): Reader._verify,
    (Provider, "tls_pinned_certs"): Reader._paths,
    (Provider, "client_cert"): Reader._path,
    (Provider, "client_key"): Reader._path,
    (Provider, "proxy"): Reader._secret,
    (Provider, "http2"): Reader._http2,
    (Budget, "capacity"): Reader._capacity,
    (Audit, "signing_key"): Reader._secret,
    (Audit, "previous_key"): Reader._secret,
    (Storage, "url"): Reader._store,
    (Hardware, "models_dir"): Reader._path,
    (Webhook, "url"): Reader._secret,
    (Webhook, "secret"): Reader._secret,
    (Webhook, "verify"): Reader._verify,
    (Logging, "levels"): Reader._levels,
    (Telemetry, "otlp_endpoint"): Reader._collector,
    (Telemetry, "headers"): Reader._headers,
    (Telemetry, "resource"): Reader._resource,
    (Whisper, "model"): Reader._whisper_model,
    (Whisper, "models_dir"): Reader._path,
}


def _check_header_name(name: str, taken: Mapping[str, object]) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise Wrong("is no header name; use letters, digits and -")
    if name.lower() in _OURS:
        raise Wrong("this header belongs to the connection and is set by hoosh; remove it")
    if name.lower() in taken:
        raise Wrong("is given twice (case does not count); keep one")


def _from_iso(text: str) -> datetime.date:
    """A date, or a date and time (which is a date, too)."""
    return datetime.date.fromisoformat(text) if len(text) == 10 else datetime.datetime.fromisoformat(text)


def _names(section: object) -> frozenset[str]:
    """The keys of a section; of lists of tables none, since one could not tell which item is meant."""
    if isinstance(section, type) and issubclass(section, Struct):
        return frozenset(field.encode_name for field in fields(section))
    return frozenset()
