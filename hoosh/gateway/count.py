"""How many tokens would this prompt take?  Asked of the upstream where it has an answer, else estimated.

Source: Anthropic's `POST /v1/messages/count_tokens`, wire notes 2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoosh.gateway.account import Account
from hoosh.http.exchange import Exchange

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["count_tokens"]


async def count_tokens(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    raise NotImplementedError
