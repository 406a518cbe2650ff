"""The audit log, for those who may read it: its entries, and whether they are as they were written."""

from __future__ import annotations

from typing import Any, Protocol

from quart import Blueprint, Response, request

from hoosh.api.face import GatewayFace, json_response, require
from hoosh.errors import InvalidRequest, NoSuchEntry

__all__ = ["AuditFace", "AuditReader", "audit_routes"]

PAGE = 100
PAGE_MAX = 1000
NUMBER_DIGITS = 15
LEVELS = ("info", "warn", "error")
PARAMETERS = frozenset({"limit", "before", "after", "event", "level"})
EVENT_CHARS = 100


class AuditReader(Protocol):
    """What the routes ask of the audit log.  What it gives is encoded as it is."""

    async def page(
        self, *, limit: int, before: int | None, after: int | None, event: str | None, level: str | None
    ) -> object: ...

    async def verify(self) -> object:
        """A verdict, with `valid`."""
        ...


class AuditFace(GatewayFace, Protocol):
    @property
    def audit(self) -> AuditReader | None:
        """None where the audit log is disabled."""
        ...


class AuditDisabled(NoSuchEntry):
    """There is no audit log here."""

    code = "audit_disabled"


def audit_routes(gateway: AuditFace) -> Blueprint:
    routes = Blueprint("audit", __name__)

    @routes.get("/v1/audit")
    async def entries() -> Response:
        """Entries of the audit log; needs the scope `admin`."""
        require("admin")
        reader = _reader(gateway)
        _require_known()
        page = await reader.page(
            limit=min(_number("limit", least=1) or PAGE, PAGE_MAX), **_places(), event=_event(), level=_level()
        )
        return json_response(page)

    @routes.get("/v1/audit/verify")
    async def verify() -> Response:
        """Whether the audit log is as it was written; needs the scope `admin`."""
        require("admin")
        return json_response(await _reader(gateway).verify())

    return routes


def _reader(gateway: AuditFace) -> AuditReader:
    if gateway.audit is None:
        raise AuditDisabled(
            "The audit log is disabled. The owner of this gateway enables it with `enabled = true` and a "
            "`signing_key` in [audit]."
        )
    return gateway.audit


def _require_known() -> None:
    """A filter that is misspelt would show what was not asked for.  Raises InvalidRequest."""
    for name in request.args:
        if name not in PARAMETERS:
            raise InvalidRequest(f"Unknown query parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter")


def _places() -> dict[str, Any]:
    before, after = _number("before"), _number("after")
    if before is not None and after is not None:
        raise InvalidRequest("Send `before` or `after`, not both.", param="after")
    return {"before": before, "after": after}


def _number(name: str, *, least: int = 0) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS and int(text) >= least):
        raise InvalidRequest(f"`{name}` must be a whole number of at least {least}.", param=name)
    return int(text)


def _event() -> str | None:
    event = request.args.get("event")
    if event is not None and len(event) > EVENT_CHARS:
        raise InvalidRequest("No event has so long a name.", param="event")
    return event


def _level() -> str | None:
    level = request.args.get("level")
    if level is not None and level not in LEVELS:
        raise InvalidRequest(f"`level` must be one of {', '.join(LEVELS)}.", param="level")
    return level
