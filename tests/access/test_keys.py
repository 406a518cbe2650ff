from __future__ import annotations

import hashlib

import pytest

from hoosh.access import Key, KeyRing, may_use, require_scope
from hoosh.errors import Forbidden, Unauthenticated
from hoosh.http.message import Headers
from hoosh.values import ANONYMOUS, Caller, Secret


def ring() -> KeyRing:
    return KeyRing(
        [
            Key(name="ada", key=Secret("letmein-ada")),
            Key(
                name="bob",
                key=Secret("letmein-bob"),
                scopes=("inference",),
                models=("gpt-4o*", "echo"),
                expires_s=1000.0,
            ),
            Key(name="digest", key=Secret("sha256:" + hashlib.sha256(b"letmein-digest").hexdigest().upper())),
        ]
    )


def test_a_key_is_known_by_its_bearer_header():
    caller = ring().authenticate(b"Bearer letmein-ada", now_s=0.0)
    assert caller == Caller("ada")
    assert caller.scopes == {"inference", "admin", "metrics"}


@pytest.mark.parametrize("scheme", [b"bearer", b"BEARER", b"  Bearer  "])
def test_the_scheme_may_be_in_any_case_and_between_blanks(scheme):
    assert ring().authenticate(scheme + b" letmein-ada ", now_s=0.0).name == "ada"


def test_a_key_may_come_in_x_api_key():
    assert ring().authenticate(None, b"letmein-ada", now_s=0.0).name == "ada"
    assert ring().authenticate(b"Basic abc", b"letmein-ada", now_s=0.0).name == "ada"


def test_bearer_wins_over_x_api_key():
    assert ring().authenticate(b"Bearer letmein-bob", b"letmein-ada", now_s=0.0).name == "bob"


def test_a_configured_digest_stands_for_its_key():
    assert ring().authenticate(b"Bearer letmein-digest", now_s=0.0).name == "digest"


def test_the_digest_itself_is_no_key():
    text = b"sha256:" + hashlib.sha256(b"letmein-digest").hexdigest().encode()
    with pytest.raises(Unauthenticated):
        ring().authenticate(b"Bearer " + text, now_s=0.0)


@pytest.mark.parametrize("authorization", [None, b"", b"  "])
def test_no_key_is_told_how_to_send_one(authorization):
    with pytest.raises(Unauthenticated, match="Authorization: Bearer"):
        ring().authenticate(authorization, now_s=0.0)


@pytest.mark.parametrize("authorization", [b"Basic abc", b"Bearer", b"Bearer ", b"letmein-ada"])
def test_a_header_without_a_bearer_key_is_told_so(authorization):
    with pytest.raises(Unauthenticated, match="holds no API key"):
        ring().authenticate(authorization, now_s=0.0)


def test_a_wrong_key_is_refused_and_never_repeated():
    with pytest.raises(Unauthenticated) as caught:
        ring().authenticate(b"Bearer letmein-eve", now_s=0.0)
    assert "letmein" not in str(caught.value)
    assert caught.value.code == "invalid_api_key"


def test_an_expired_key_is_refused_from_its_moment_on():
    assert ring().authenticate(b"Bearer letmein-bob", now_s=999.9).name == "bob"
    with pytest.raises(Unauthenticated, match="expired"):
        ring().authenticate(b"Bearer letmein-bob", now_s=1000.0)


def test_without_keys_everybody_is_anonymous():
    assert KeyRing().authenticate(None, now_s=0.0) is ANONYMOUS
    assert KeyRing().authenticate(b"Bearer whatever", now_s=0.0) is ANONYMOUS


def test_a_key_may_use_the_models_its_globs_match():
    bob = ring().authenticate(b"Bearer letmein-bob", now_s=0.0)
    may_use(bob, "gpt-4o-mini")
    may_use(bob, "echo")
    for other in ("gpt-4", "GPT-4o", "openai/gpt-4o", "echo2"):
        with pytest.raises(Forbidden, match="may not use"):
            may_use(bob, other)
    may_use(ANONYMOUS, "anything")


def test_a_scope_that_is_lacking_is_named():
    bob = ring().authenticate(b"Bearer letmein-bob", now_s=0.0)
    require_scope(bob, "inference")
    with pytest.raises(Forbidden, match="admin"):
        require_scope(bob, "admin")


def test_nothing_prints_a_key():
    key = Key(name="ada", key=Secret("letmein-ada"))
    assert (
        "letmein" not in f"{key} {key!r} {key.key} {key.key!r} {ring().__dict__ if hasattr(ring(), '__dict__') else ''}"
    )


def test_what_a_key_says_of_its_holder_reaches_the_caller():
    key = Key(
        name="cy",
        key=Secret("letmein-cy"),
        scopes=("inference", "metrics"),
        models=("llama*",),
        pool="team",
        priority="background",
        privacy="local",
    )
    caller = KeyRing([key]).authenticate(b"Bearer letmein-cy", now_s=0.0)
    scopes = frozenset({"inference", "metrics"})
    assert caller == Caller("cy", scopes, ("llama*",), "team", priority="background", local_only=True)
    assert ring().authenticate(b"Bearer letmein-ada", now_s=0.0) == Caller("ada", pool=None, priority="normal")


@pytest.mark.parametrize(
    "presented",
    [
        b"k" * 1_000_000,
        b"letmein-ada\0",
        b"\0letmein-ada",
        b"\0" * 1000,
        b"letmein-ada, Bearer letmein-bob",
        b"letmein-ada letmein-bob",
        b"letmein-ad\xc3\xa1",
        b"\xff\xfe",
        b"LETMEIN-ADA",
        b"letmein-ad",
        b"letmein-adaa",
        b"***",
    ],
    ids=lambda key: repr(key[:20]),
)
def test_what_is_not_exactly_a_key_is_none(presented):
    for headers in ((b"Bearer " + presented, None), (None, presented)):
        with pytest.raises(Unauthenticated) as caught:
            ring().authenticate(*headers, now_s=0.0)
        assert str(caught.value) == "Incorrect API key provided."


def test_of_several_authorization_headers_the_first_counts():
    headers = Headers([(b"authorization", b"Bearer letmein-eve"), (b"authorization", b"Bearer letmein-ada")])
    with pytest.raises(Unauthenticated):
        ring().authenticate(headers.get(b"authorization"), now_s=0.0)


def test_a_key_that_expires_says_so_only_to_whoever_holds_it():
    with pytest.raises(Unauthenticated, match="expired"):
        ring().authenticate(b"Bearer letmein-bob", now_s=2000.0)
    with pytest.raises(Unauthenticated, match="Incorrect"):
        ring().authenticate(b"Bearer letmein-bo", now_s=2000.0)
