"""What the app asks of the gateway, and what its views share.

The views know the gateway by this face alone, so that they can be tested with a small stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import msgspec
from msgspec import Struct
from quart import Response, g, request

from hoosh.api.errors import Answer
from hoosh.dialects.mistakes import explain, unreadable
from hoosh.errors import BodyTooLarge, Forbidden
from hoosh.http.message import Headers
from hoosh.storage import StoreStatistics
from hoosh.values import Caller, ModelCard, ProviderState

if TYPE_CHECKING:
    from hoosh.dialects.responses import ResponseStore

__all__ = ["GatewayFace", "as_response", "json_response", "read_body", "require"]

Asked = TypeVar("Asked", bound=Struct)


class GatewayFace(Protocol):
    """The gateway as its door sees it."""

    version: str

    def authenticate(self, headers: Headers) -> Caller:
        """Who is asking; the anonymous caller where no keys are configured.  Raises Unauthenticated."""
        ...

    async def models(self) -> list[ModelCard]:
        """Every model that can be asked for now."""
        ...

    def providers(self) -> list[ProviderState]: ...

    @property
    def responses(self) -> ResponseStore:
        """What clients of the Responses API may come back to."""
        ...

    def store_state(self) -> StoreStatistics:
        """How the books are being written."""
        ...

    def readiness(self) -> str | None:
        """None when requests are welcome, else why they are not."""
        ...

    def metrics_text(self) -> bytes:
        """Everything measured, in Prometheus' text format 0.0.4."""
        ...


def json_response(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def as_response(answer: Answer) -> Response:
    status, headers, body = answer
    return Response(body, status, {name.decode("latin-1"): value.decode("latin-1") for name, value in headers})


def require(scope: str) -> Caller:
    """The caller of this request, who must have `scope`.  Raises Forbidden."""
    caller: Caller = g.caller
    if scope not in caller.scopes:
        raise Forbidden(f"This key does not have the scope `{scope}`.")
    return caller


async def read_body(kind: type[Asked], limit_bytes: int | None = None, *, default: Asked | None = None) -> Asked:
    """The JSON body of this request; `default` where there is none.

    Raises InvalidRequest, which names the field at fault, and BodyTooLarge.
    """
    if limit_bytes is not None and (request.content_length or 0) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    body = cast(bytes, await request.get_data())
    if limit_bytes is not None and len(body) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    if default is not None and not body.strip():
        return default
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (ValueError, RecursionError):
        raise unreadable("Expected a JSON object.") from None
