"""A configuration put together by a program, with the checks that a file gets.

    config = (
        GatewayBuilder()
        .listen(port=0)
        .provider("openai", api_key="$OPENAI_API_KEY", models=["gpt-4.1*"])
        .alias("best", "openai/gpt-4.1")
        .add(Cache(enabled=False), Health(interval_secs=10))
        .build()
    )

There is no second schema: whatever `Config` holds is added by its type, and the few methods beside `add` are short
forms of it.  A struct of msgspec checks nothing when it is made; `build` does, and gathers every mistake as `loads`
would.  Nothing here waits; a secret of the form `file:PATH` is read at once.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, get_args

from msgspec import Struct, inspect
from msgspec.structs import FieldInfo, fields, replace

from hoosh.budget import Budget
from hoosh.config.leaf import Wrong, leaf
from hoosh.config.load import with_usual_key
from hoosh.config.locate import KeyPath, Lines, spell
from hoosh.config.meaning import check_meaning
from hoosh.config.mistakes import Mistakes
from hoosh.config.schema import Alias, Config, Key, Provider, Server
from hoosh.config.secrets import SecretMissing, expand
from hoosh.errors import ConfigError
from hoosh.routing import Strategy
from hoosh.values import Secret

__all__ = ["GatewayBuilder"]


def _item(field: FieldInfo) -> Any:
    """What a list of tables is made of; None where a field is no such list."""
    item = (get_args(field.type) or (None,))[0]
    return item if isinstance(item, type) and issubclass(item, Struct) else None


_SECTIONS: Mapping[Any, str] = {each.type: each.name for each in fields(Config) if _item(each) is None}
_ITEMS: Mapping[Any, str] = {_item(each): each.name for each in fields(Config) if _item(each) is not None}


class GatewayBuilder:
    """Every method but `build` and `secret` returns the builder itself."""

    def __init__(
        self, base: Config | None = None, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        """Begins with `base`, else the defaults.  Secrets are looked for in `environ` (`os.environ`) and `folder`."""
        self._config = base or Config()
        self._environ = os.environ if environ is None else environ
        self._folder = folder or Path.cwd()

    def add(self, *parts: Struct) -> Self:
        """A `Provider`, `Key`, `Alias`, `Budget`, `PriceOverride` is one more; any other section takes its place.

        Raises TypeError for what is no part of a configuration.
        """
        for part in parts:
            kind = type(part)
            if kind in _ITEMS:
                name = _ITEMS[kind]
                self._config = replace(self._config, **{name: (*getattr(self._config, name), part)})
            elif kind in _SECTIONS:
                self._config = replace(self._config, **{_SECTIONS[kind]: part})
            else:
                known = ", ".join(sorted(each.__name__ for each in (*_ITEMS, *_SECTIONS)))
                raise TypeError(f"{kind.__name__} is no part of a configuration; add one of {known}")
        return self

    def listen(self, bind: str | None = None, port: int | None = None, *, unix_socket: str | None = None) -> Self:
        """What is not given stays as it is."""
        given = {"bind": bind, "port": port, "unix_socket": unix_socket}
        server: Server = replace(
            self._config.server, **{name: value for name, value in given.items() if value is not None}
        )
        return self.add(server)

    def provider(
        self,
        type: str,
        *,
        name: str = "",
        base_url: str = "",
        api_key: str | Secret | None = None,
        models: Sequence[str] = (),
        priority: int = 10,
    ) -> Self:
        """For anything else of a provider, `add(Provider(...))`.  Raises ConfigError as `secret` does."""
        key = None if api_key is None else self.secret(api_key)
        return self.add(
            Provider(type=type, name=name, base_url=base_url, api_key=key, models=tuple(models), priority=priority)
        )

    def alias(self, name: str, *targets: str, strategy: Strategy | None = None) -> Self:
        return self.add(Alias(name=name, targets=targets, strategy=strategy))

    def key(self, name: str, key: str | Secret, *, pool: str | None = None) -> Self:
        return self.add(Key(name=name, key=self.secret(key), pool=pool))

    def budget(self, name: str, capacity: float, **rest: Any) -> Self:
        """`rest` as `Budget` has it: `unit`, `window`, `on_exhausted`."""
        return self.add(Budget(name=name, capacity=capacity, **rest))

    def secret(self, text: str | Secret) -> Secret:
        """As in a file: a literal, `$NAME`, `${NAME}` or `file:PATH`.  Raises ConfigError where there is none."""
        if isinstance(text, Secret):
            return text
        try:
            return expand(text, self._environ, self._folder)
        except SecretMissing as missing:
            raise ConfigError([f"a secret {missing}"]) from None

    def build(self) -> Config:
        """Raises ConfigError with every mistake; the builder may be corrected and asked again."""
        wrong: list[str] = []
        config: Config = _checked(self._config, (), wrong)
        if wrong:
            raise ConfigError(wrong)
        mistakes = Mistakes("", Lines(""))
        placed: defaultdict[type[Struct], list[tuple[KeyPath, Any]]] = defaultdict(list)
        for kind, name in _ITEMS.items():
            placed[kind] = [((name, number), each) for number, each in enumerate(getattr(config, name))]
        placed[Provider] = [
            (path, with_usual_key(each, path, mistakes, self._environ)) for path, each in placed[Provider]
        ]
        config = replace(config, providers=tuple(each for _, each in placed[Provider]))
        check_meaning(config, placed, mistakes)
        # There are no lines here to be told of.
        sentences = [
            sentence.removeprefix(":1: ").replace(" by the one in line 1;", ";") for sentence in mistakes.sentences()
        ]
        if sentences:
            raise ConfigError(sentences)
        return config


def _checked(part: Any, path: KeyPath, wrong: list[str]) -> Any:
    """`part` with every value as its field wants it: a list where a tuple is meant becomes one."""
    read: dict[str, Any] = {}
    for field in fields(part):
        value, where = getattr(part, field.name), (*path, field.encode_name)
        try:
            read[field.name] = _value(field, value, where, wrong)
        except Wrong as mistake:
            wrong.append(f"{spell(where)}: {mistake}")
            read[field.name] = value
    return replace(part, **read) if read else part


def _value(field: FieldInfo, value: Any, where: KeyPath, wrong: list[str]) -> Any:
    if isinstance(value, Struct):
        return _checked(value, where, wrong)
    if _item(field) is not None:
        return tuple(_checked(each, (*where, number), wrong) for number, each in enumerate(value))
    if value is None or value == field.default or isinstance(value, Secret):
        return value
    if isinstance(value, str) and Secret in (field.type, *get_args(field.type)):
        raise Wrong('is text, must be a Secret: builder.secret("$NAME"), or Secret("...")')
    return leaf(field.type, inspect.type_info(field.type), value)
