"""The example of a plugin keeps the contract, is found through its entry point, and answers in every language."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from hoosh.config import Config, Discovery, Logging, Provider, kinds
from hoosh.dialects.contract import Outgoing
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import GROUP, upstream_dialect
from hoosh.dialects.translation import Translation
from hoosh.errors import InvalidRequest
from hoosh.testing.contracts import REQUESTS, Sample, check_dialect
from hoosh.testing.house import ONE_TRY, memory_house
from hoosh.testing.upstream import FakeUpstream, json_reply
from hoosh.values import CallKind, ChatReply, Finished, FinishReason, TextSaid, Usage

NOBODY = Discovery(local=False, environment=False)
SOURCE = Path(__file__).parents[2] / "examples" / "plugin_dialect.py"


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plugin_dialect", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["plugin_dialect"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(text: str, details: object = None) -> bytes:
    told = {"index": 1, "token": {"id": 1, "text": text, "logprob": -0.1, "special": not text}, "details": details}
    return b"data:" + json.dumps(told, ensure_ascii=False).encode() + b"\n\n"


DONE = {"finish_reason": "eos_token", "generated_tokens": 3, "prefill": [], "seed": None}
SAMPLE = Sample(
    ChatReply((TextSaid("Salam, dünya"),), Finished(FinishReason.STOP, "eos_token"), Usage(0, 3)),
    stream=event("Salam") + event(", dünya") + event("", DONE),
    whole=json.dumps({"generated_text": "Salam, dünya", "details": DONE}).encode(),
)


def test_it_keeps_the_contract(plugin: ModuleType):
    check_dialect(plugin.TgiDialect, [SAMPLE])


def test_it_is_found_through_its_entry_point(plugin: ModuleType):
    made = upstream_dialect("tgi", plugins=[EntryPoint("tgi", "plugin_dialect:TgiDialect", GROUP)])
    assert isinstance(made, plugin.TgiDialect)


@pytest.mark.parametrize(("name", "param"), [("tools", "tools"), ("schema", "response_format"), ("choices", "n")])
def test_what_it_cannot_do_is_refused_by_name(plugin: ModuleType, name: str, param: str):
    with pytest.raises(InvalidRequest) as refused:
        plugin.TgiDialect().encode_chat(REQUESTS[name], model="m")
    assert refused.value.param == param


def test_an_error_in_the_stream_is_an_error(plugin: ModuleType):
    decoder = plugin.TgiDialect().chat_decoder(provider="p")
    decoder.feed(event("Sal") + b'data:{"error":"Request failed","error_type":"generation"}\n\n')
    assert "Request failed" in str(decoder.error)


def test_an_openai_client_is_served_by_it(plugin: ModuleType):
    downstream = OpenAIDownstream()
    asked = {"model": "zephyr", "stream": True, "max_tokens": 5, "messages": [{"role": "user", "content": "Salam"}]}
    call = downstream.read(CallKind.CHAT, json.dumps(asked).encode())
    outgoing = Translation(downstream, plugin.TgiDialect()).outgoing(call, model="zephyr")
    assert isinstance(outgoing, Outgoing)
    assert outgoing.path == "/generate_stream"
    assert json.loads(outgoing.body)["parameters"]["max_new_tokens"] == 5


PATHS = {
    "/v1/chat/completions": lambda told: told["choices"][0]["message"]["content"],
    "/v1/messages": lambda told: told["content"][0]["text"],
    "/api/chat": lambda told: told["message"]["content"],
}


@pytest.mark.parametrize("path", PATHS)
async def test_every_language_leads_to_it(
    plugin: ModuleType, path: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
):
    installed = (EntryPoint("tgi", "plugin_dialect:TgiDialect", GROUP),)
    monkeypatch.setattr("hoosh.dialects.registry.entry_points", lambda group: installed)
    kinds._plugin.cache_clear()
    provider = Provider(type="tgi", name="mine", base_url="http://mine:80", models=("zephyr",))
    upstream = FakeUpstream(json_reply(json.loads(SAMPLE.whole)))
    asked = {"model": "zephyr", "stream": False, "max_tokens": 5, "messages": [{"role": "user", "content": "Salam"}]}
    async with memory_house(
        Config(providers=(provider,), discovery=NOBODY, logging=Logging(level="error"), **ONE_TRY)
    ) as house:
        house.network.listen("mine:80", upstream.serve_wire)
        status, _, body = await house.post(path, asked)
    kinds._plugin.cache_clear()
    assert status == 200, body
    assert PATHS[path](json.loads(body)) == "Salam, dünya"
    assert upstream.requests[0].target == "/generate"
