"""How many tokens would this prompt take?  Asked of the upstream where it has an answer, else estimated.

An estimate says so in the header `x-hoosh-estimated`; it is what a budget would hold for the same prompt.

Source: Anthropic's `POST /v1/messages/count_tokens`, OpenAI's `POST /v1/responses/input_tokens`; wire notes 2.2.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hoosh.budget import weigh
from hoosh.gateway.account import Account
from hoosh.gateway.answer import answer_headers
from hoosh.gateway.chat import take_call
from hoosh.gateway.no_bill import NO_BILL
from hoosh.gateway.relay import relay_whole
from hoosh.gateway.way import Way
from hoosh.http.exchange import Exchange

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["count_tokens"]


async def count_tokens(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer with a number of tokens.  Raises HooshError."""
    call, candidates = await take_call(gateway, exchange, account)
    target = candidates[0]
    upstream = gateway.fleet[target.provider]
    if call.language in upstream.lacks or upstream.dialect.passage(call) is None:
        request = account.downstream.chat_request(call)
        if upstream.dialect.encode_token_count(request, model=target.model) is None:
            account.provider, account.model = target.provider, target.model
            books = gateway.books
            tokens = books.estimator.prompt_tokens(books.terms(target).key, weigh(call))
            body = account.downstream.encode_token_count(tokens)
            headers = [
                *answer_headers(account),
                (b"x-hoosh-estimated", b"true"),
                (b"content-type", b"application/json"),
            ]
            account.sending(body)
            await exchange.respond(200, headers, body)
            account.answered(200)
            return
    way = Way(call, account, gateway.facts, gateway.fetch_media)
    journey = gateway.dispatcher.journey(account, call, candidates)
    await journey.run(partial(relay_whole, exchange, call, account), way, NO_BILL)
