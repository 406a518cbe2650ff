"""Requests made from the document, sound and unsound, never meet a bug or an answer that the document does not know.

`HOOSH_CASES` says how many, `HOOSH_SEED` which.  Three of four are asked with a key that may do everything, the others
with one that may do nothing; two of three name a model that there is.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import hypothesis
import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from openapi_house import ADMIN, PATIENCE_S, POOR, ServedHouse

from hoosh import __version__
from hoosh.api.openapi import document
from hoosh.testing.seeds import seed_of_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import Case, GenerationMode
    from schemathesis.checks import load_all_checks
    from schemathesis.specs.openapi import checks

load_all_checks()
SCHEMA = schemathesis.openapi.from_dict(document(__version__))
TRANSPORT = SCHEMA.transport
"""Loads modules, which pytest parses: before there is a house in another thread.  Python 3.11 must not parse in two."""
ENDLESS = "/v1/events/stream"
"""Whoever waits for the end of its answer waits for ever; its own tests are in tests/api/test_events_stream.py."""
OPERATIONS = {
    f"{op.method.upper()} {op.path}": op
    for op in (found.ok() for found in SCHEMA.get_all_operations())
    if op.path != ENDLESS
}
CASES = int(os.environ.get("HOOSH_CASES", "200"))
SEED = seed_of_run()
EACH = max(1, CASES // (2 * len(OPERATIONS)))
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
KNOWN = frozenset({400, 401, 402, 403, 404, 405, 408, 413, 415, 429, 431, 502, 503, 504, 529})


@pytest.fixture(scope="module")
def house() -> Iterator[ServedHouse]:
    served = ServedHouse()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("POST /v1/chat/completions", {"messages": [{"role": "user", "content": "salam"}]}),
        ("POST /v1/completions", {"prompt": "salam"}),
        ("POST /v1/responses", {"input": "salam", "model": "echo"}),
        ("POST /v1/messages", {"messages": [{"role": "user", "content": "salam"}], "max_tokens": 5}),
        ("POST /api/chat", {"messages": [{"role": "user", "content": "salam"}]}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_stream_is_what_the_document_says(
    house: ServedHouse, session: requests.Session, name: str, body: dict[str, object]
) -> None:
    case = OPERATIONS[name].Case(body={"model": "tiny", "stream": True, **body}, media_type="application/json")
    headers = {"authorization": f"Bearer {ADMIN}"}
    response = case.call(base_url=house.url, session=session, headers=headers, timeout=PATIENCE_S)
    assert response.status_code == 200
    assert response.headers["content-type"][0].startswith(("text/event-stream", "application/x-ndjson"))
    case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.filterwarnings("ignore")
def test_no_request_meets_a_bug_or_an_undocumented_answer(
    house: ServedHouse, session: requests.Session, name: str, mode: GenerationMode
) -> None:
    print(f"HOOSH_SEED={SEED} HOOSH_CASES={CASES}")
    keys, models = [ADMIN, ADMIN, ADMIN, POOR], ["echo", "tiny", None]
    try:
        strategy = OPERATIONS[name].as_strategy(generation_mode=mode)
        strategy.validate()
    except Exception as error:  # nothing about this operation can be unsound
        if mode is GenerationMode.NEGATIVE:
            pytest.skip(f"{type(error).__name__}: {error}")
        raise

    @seed(SEED)
    @settings(
        max_examples=EACH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: Case) -> None:
        for turns in (keys, models):
            turns.append(turns.pop(0))
        headers = {"authorization": f"Bearer {keys[0]}"}
        if models[0] is not None and isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = models[0]  # made up at random it would never be one that there is
        if case.media_type is not None and "*" in case.media_type:
            headers["content-type"] = "audio/wav"
        response = case.call(base_url=house.url, session=session, headers=headers, timeout=PATIENCE_S)
        assert response.status_code < 500 or response.status_code in KNOWN, response.text
        assert response.status_code != 500
        assert house.bugs == []
        case.validate_response(response, checks=CHECKS)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        pytest.skip("nothing about this operation can be unsound")
