"""What an entry says of a request: its attempts, when some have failed."""

from __future__ import annotations

import json

from msgspec.structs import replace

from hoosh.audit import fact_of_record
from hoosh.values import AttemptRecord, Outcome, Record, Usage

RECORD = Record(
    request_id="req_1",
    method="POST",
    path="/v1/chat/completions",
    http_version="1.1",
    outcome=Outcome.OK,
    status=200,
    started_at=0.0,
    duration_s=0.2,
    kind="chat",
    model="gpt-4o",
    served_model="gpt-4o",
    provider="azure",
    attempts=1,
    usage=Usage(10, 20),
)


def metadata(record: Record) -> dict[str, object]:
    return json.loads(bytes(fact_of_record(record, None).metadata))


def test_a_request_answered_at_once_says_nothing_of_attempts_but_their_number():
    said = metadata(RECORD)
    assert said["attempts"] == 1
    assert "tried" not in said


def test_failed_attempts_are_told_and_keys_stay_in_order():
    tried = (AttemptRecord("openai", "gpt-4o", 0.2, "503"), AttemptRecord("azure", "gpt-4o", 12.0, "first_token"))
    said = metadata(replace(RECORD, attempts=3, tried=tried))
    assert said["tried"] == [["openai", "gpt-4o", "503"], ["azure", "gpt-4o", "first_token"]]
    assert list(said) == sorted(said)


def test_what_is_told_of_attempts_is_bounded():
    hostile = AttemptRecord("p", "\ud800" + "m" * 10_000, 0.1, "it said sk-abc: no")
    said = metadata(replace(RECORD, tried=(hostile,) * 100))["tried"]
    assert said == [["p", "?" + "m" * 199, "upstream_error"]] * 16
