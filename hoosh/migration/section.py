"""A table of the file, read key by key: what nobody has asked for at the end has no counterpart, and is told.

A value of the wrong kind is told and taken for missing.  `os.environ/NAME` is LiteLLM's word for our `$NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from hoosh.config.locate import KeyPath
from hoosh.migration.document import Document
from hoosh.migration.remarks import Remarks, harmless

__all__ = ["Reading", "Section"]

ENVIRONMENT = "os.environ/"
NO_COUNTERPART = "has no counterpart in hoosh and is left out"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Reading(Struct, frozen=True):
    """What all sections of one file share."""

    document: Document
    environ: Mapping[str, str]
    """For what we do not read from the environment ourselves, such as an address."""
    remarks: Remarks
    variables: set[str]
    """Names that the result takes from the environment."""

    def section(self, *path: str) -> Section:
        """A table from the root; an empty one where it is missing, or none."""
        table: Any = self.document.root
        for name in path:
            table = table.get(name) if isinstance(table, dict) else None
        if table is not None and not isinstance(table, dict):
            self.remarks.add(self.document.line(path), path, "must be a table; it is left out")
        return Section(self, table if isinstance(table, dict) else {}, path)

    def items(self, *path: str) -> Iterator[Section]:
        """The tables of a list from the root."""
        items: Any = self.document.root
        for name in path:
            items = items.get(name) if isinstance(items, dict) else None
        if items is not None and not isinstance(items, list):
            self.remarks.add(self.document.line(path), path, "must be a list; it is left out")
        for number, item in enumerate(items if isinstance(items, list) else ()):
            where: KeyPath = (*path, number)
            if isinstance(item, dict):
                yield Section(self, item, where)
            else:
                self.remarks.add(self.document.line(where), where, "must be a table; it is left out")


class Section:
    def __init__(self, reading: Reading, table: Mapping[str, Any], path: KeyPath) -> None:
        self.reading = reading
        self.path = path
        self._table = table
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return self._table.get(name) is not None

    @property
    def line(self) -> int:
        return self.reading.document.line(self.path)

    def say(self, name: str, text: str) -> None:
        path = (*self.path, name) if name else self.path
        self.reading.remarks.add(self.reading.document.line(path), path, text)

    def take(self, name: str) -> Any:
        """The value as it is; None where there is none."""
        self._taken.add(name)
        return self._table.get(name)

    def section(self, name: str) -> Section:
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            self.say(name, "must be a table; it is left out")
        return Section(self.reading, value if isinstance(value, dict) else {}, (*self.path, name))

    def text(self, name: str) -> str:
        """ "" where there is none."""
        value = self.take(name)
        if value is None:
            return ""
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            self.say(name, "must be text; it is left out")
            return ""
        return self._resolved(name, str(value).strip())

    def flag(self, name: str) -> bool | None:
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().casefold() in ("true", "false"):
            return value.strip().casefold() == "true"
        self.say(name, "must be true or false; it is left out")
        return None

    def number(self, name: str, *, least: float = 0.0, most: float = 1e12) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(self._resolved(name, value) if isinstance(value, str) else value)
        except (ValueError, TypeError, OverflowError):
            self.say(name, "must be a number; it is left out")
            return None
        if not least <= number <= most:
            self.say(name, f"is no number from {least:g} to {most:g}; it is left out")
            return None
        return number

    def count(self, name: str, *, least: int = 1) -> int | None:
        number = self.number(name, least=least)
        return None if number is None else round(number)

    def secret(self, name: str) -> str:
        """As hoosh writes it; "" where there is none, or none that could travel."""
        value = self.take(name)
        if value is None:
            return ""
        if not isinstance(value, str | int):
            self.say(name, "must be text; it is left out")
            return ""
        text = str(value).strip()
        if text.startswith(ENVIRONMENT):
            return self._variable(name, text.removeprefix(ENVIRONMENT))
        if not text:
            return ""
        if not (text.isascii() and text.isprintable()) or "${" in text or text.startswith("file:"):
            self.say(name, "is written out, with signs that hoosh would read otherwise; give it as $VARIABLE")
            return ""
        self.say(
            name, "is written out, and so it is here: put it into the environment and write $VARIABLE, or file:PATH"
        )
        return f"${text}" if text.startswith("$") else text

    def rest(self, known: Mapping[str, str] | None = None) -> None:
        """Tell of every key that was not asked for; `known` has more to say of some, and nothing of those with ""."""
        for name in self._table:
            text = (known or {}).get(name, NO_COUNTERPART)
            if name not in self._taken and text:
                self.say(name, text)

    def _variable(self, name: str, variable: str) -> str:
        if not _VARIABLE.fullmatch(variable):
            self.say(name, "names no variable of the environment; it is left out")
            return ""
        self.reading.variables.add(variable)
        return f"${variable}"

    def _resolved(self, name: str, text: str) -> str:
        """What is no secret hoosh does not read from the environment: the value of now is written down."""
        if not text.startswith(ENVIRONMENT):
            return text
        variable = text.removeprefix(ENVIRONMENT)
        shown = harmless(variable, 64)
        value = self.reading.environ.get(variable, "").strip()
        if value:
            self.say(name, f"is read from the environment by LiteLLM; hoosh has the value that {shown} has now")
        else:
            self.say(name, f"is read from the environment, and {shown} is not set: set it and migrate again")
        return value
