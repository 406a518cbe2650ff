"""A gateway in a thread of its own, for programs without Trio."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request

import pytest

import hoosh
from hoosh.config import Discovery, Logging, Server
from hoosh.errors import ConfigError

QUIET = hoosh.Config(
    server=Server(port=0), discovery=Discovery(local=False, environment=False), logging=Logging(level="error")
)
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def houses() -> set[threading.Thread]:
    """Not all threads: Trio keeps those that it lends out for a while, and others' come and go."""
    return {thread for thread in threading.enumerate() if thread.name == "hoosh"}


def test_it_answers_while_the_block_runs_and_not_after_it():
    before = houses()
    with hoosh.blocking_gateway(QUIET) as address, OPENER.open(f"{address}/v1/models") as answer:
        assert [model["id"] for model in json.load(answer)["data"]] == ["echo"]
        assert len(houses() - before) == 1
    with pytest.raises(urllib.error.URLError):
        OPENER.open(f"{address}/v1/models")
    assert houses() == before


def test_what_the_block_raises_leaves_it_and_the_house_is_closed():
    before = houses()
    with pytest.raises(ZeroDivisionError), hoosh.blocking_gateway(QUIET):
        raise ZeroDivisionError
    assert houses() == before


def test_what_keeps_it_from_starting_is_raised_where_the_block_begins():
    public = hoosh.Config(server=Server(bind="0.0.0.0", port=0))
    with pytest.raises(ConfigError), hoosh.blocking_gateway(public):
        pytest.fail("must not begin")
    with hoosh.blocking_gateway(QUIET) as address:
        taken = hoosh.Config(server=Server(port=int(address.rpartition(":")[2])), discovery=QUIET.discovery)
        with pytest.raises(OSError, match="cannot listen"), hoosh.blocking_gateway(taken):
            pytest.fail("must not begin")


def test_several_stand_beside_each_other():
    with hoosh.blocking_gateway(QUIET) as one, hoosh.blocking_gateway(QUIET) as other:
        assert one != other
