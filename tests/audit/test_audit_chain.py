"""What an entry's bytes are, how they are signed, and that anybody can do it again with other tools."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.audit import (
    GENESIS,
    Chain,
    Checkpoint,
    SigningKey,
    decode_checkpoint,
    decode_entry,
    encode_checkpoint,
    encode_entry,
)
from hoosh.errors import ConfigError
from hoosh.values import Secret

KEY = "correct horse battery staple"
DOCS = Path(__file__).parents[2] / "docs" / "audit.md"


def chain(key: str = KEY) -> Chain:
    return Chain(SigningKey(Secret(key)), id_prefix="aud_test")


def openssl_hmac(key: str, text: str) -> str:
    """As a reader of the documentation would do it."""
    if shutil.which("openssl") is None:
        return hmac.new(key.encode(), text.encode(), "sha256").hexdigest()
    command = ["openssl", "dgst", "-sha256", "-hmac", key]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    return done.stdout.decode().split()[-1]


def test_an_entry_is_one_line_of_json_with_sorted_keys():
    metadata = Raw(b'{"a":1}')
    line = chain().seal("inference.response", "info", "Grüße 😀", 1_790_000_000_000, model="m", metadata=metadata)
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert encode_entry(decode_entry(line)) == line
    assert b"\n" not in line


def test_a_checkpoint_is_one_line_of_json_with_sorted_keys():
    checkpoint = chain().checkpoint(1)
    line = encode_checkpoint(checkpoint)
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode()
    assert decode_checkpoint(line) == checkpoint


def test_hash_and_signature_can_be_had_with_sed_and_openssl():
    links = chain()
    lines = [
        links.seal('"version":"0"', "info", 'It says "signature":"00", and "version":"1", and no more.', 1),
        links.seal("x", "warn", "", 2, provider="p", model="m", metadata=Raw(b'{"signature":"aa","version":0}')),
    ]
    first, second = map(decode_entry, lines)
    assert first.integrity.previous_hash == "0" * 64
    for line, entry, following in [
        (lines[0], first, second.integrity.previous_hash),
        (lines[1], second, links.head_hash),
    ]:
        canonical = re.sub(rb'"signature":"[0-9a-f]*",', b"", line, count=1)
        entry_hash = hashlib.sha256(canonical).hexdigest()
        assert entry_hash == following
        assert entry.integrity.signature == openssl_hmac(KEY, f"hoosh-audit-entry:{entry_hash}")


def test_the_documented_example_is_true():
    text = DOCS.read_text()
    key = re.search(r"key is `([^`]+)`", text)[1]
    lines = [line.encode() for line in re.findall(r"^\{\"(?:event|checkpoint)\".*\}$", text, re.MULTILINE)]
    assert len(lines) == 2
    entry, checkpoint = decode_entry(lines[0]), decode_checkpoint(lines[1])
    entry_hash = hashlib.sha256(
        lines[0].replace(b'"signature":"%b",' % entry.integrity.signature.encode(), b"")
    ).hexdigest()
    assert entry_hash in text
    assert entry.integrity.signature == openssl_hmac(key, f"hoosh-audit-entry:{entry_hash}")
    assert checkpoint.hash == entry_hash
    assert checkpoint.is_signed_by(SigningKey(Secret(key)))
    assert entry.integrity.key_id == SigningKey(Secret(key)).id


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_documented_commands_work(tmp_path: Path):
    text = DOCS.read_text()
    key = re.search(r"key is `([^`]+)`", text)[1]
    line = re.search(r"^\{\"event\".*\}$", text, re.MULTILINE)[0]
    (tmp_path / "audit.jsonl").write_text(f"{line}\n")
    script = re.search(r"```sh\n(hash=.*?)```", text, re.DOTALL)[1]
    environ = {"HOOSH_AUDIT_KEY": key, "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environ, capture_output=True, check=True)
    assert done.stdout.decode().split()[-1] == json.loads(line)["integrity"]["signature"]


@pytest.mark.parametrize("key", ["k" * 16, "k" * 64, "k" * 65, "schlüssel-schlüssel", "k" * 1000])
@given(text=st.text(alphabet="0123456789abcdef:"))
def test_signatures_are_hmac_sha256_for_keys_of_any_length(key: str, text: str):
    signing, secret = SigningKey(Secret(key)), key.encode()
    assert signing.sign_entry(text) == hmac.new(secret, b"hoosh-audit-entry:" + text.encode(), "sha256").hexdigest()
    message = f"hoosh-audit-handover:7:{text}:{signing.id}:{text}"
    assert signing.vouch(7, text, text) == hmac.new(secret, message.encode(), "sha256").hexdigest()


def test_a_signature_for_one_purpose_is_none_for_another():
    key = SigningKey(Secret(KEY))
    assert len({key.sign_entry("ab"), key.sign_checkpoint("ab"), key.vouch(1, "ab", "cd")}) == 3


def test_a_key_does_not_show_and_its_id_is_not_made_of_it_alone():
    key = SigningKey(Secret(KEY))
    assert KEY not in repr(key)
    assert re.fullmatch("[0-9a-f]{16}", key.id)
    assert key.id not in (hashlib.sha256(KEY.encode()).hexdigest()[:16], hashlib.md5(KEY.encode()).hexdigest()[:16])
    assert key.id == SigningKey(Secret(KEY)).id != SigningKey(Secret(KEY + "!")).id


def test_a_key_that_could_be_guessed_is_refused_without_being_repeated():
    with pytest.raises(ConfigError, match="16 characters") as caught:
        SigningKey(Secret("hunter2hunter2"))
    assert "hunter2" not in str(caught.value)


def test_what_cannot_be_written_changes_nothing():
    links = chain()
    links.seal("a", "info", "b", 1)
    head = links.head
    with pytest.raises(UnicodeEncodeError):
        links.seal("a", "info", "half a pair: \ud800", 2)
    assert links.head == head


def test_ids_are_unique_in_a_chain():
    links = chain()
    entries = [decode_entry(links.seal("a", "info", "b", 1)) for _ in range(300)]
    assert len({entry.id for entry in entries}) == 300
    assert [entry.number for entry in entries] == list(range(1, 301))


LINE = chain().seal("a", "info", "b", 1, metadata=Raw(b'{"n":1}'))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        LINE[:-1],
        LINE + b" ",
        b" " + LINE,
        LINE.replace(b'"number":1', b'"number":1.0'),
        LINE.replace(b'"number":1', b'"number":0'),
        LINE.replace(b'"number":1', b'"number":true'),
        LINE.replace(b'"number":1', b'"number":18446744073709551616'),
        LINE.replace(b'"timestamp":1', b'"timestamp":1e0'),
        LINE.replace(b'"event":"a"', b'"event":"\\u0061"'),
        LINE.replace(b'"event":"a"', b'"event":"\\ud800"'),
        LINE.replace(b'"event":"a"', b'"event":"a","event":"a"'),
        LINE.replace(b'"event":"a"', b'"event":"a","extra":1'),
        LINE.replace(b'"level":"info"', b'"level":"loud"'),
        LINE.replace(b'"event":"a",', b"").replace(b"}}", b'},"event":"a"}'),
        LINE.replace(b'{"n":1}', b"[" * 100_000),
    ],
    ids=range(20),
)
def test_there_is_one_way_to_write_an_entry(line: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever msgspec says
        decode_entry(line)


@given(
    texts=st.tuples(*[st.text(alphabet=st.characters(exclude_categories=["Cs"]))] * 3),
    at_ms=st.integers(-(2**40), 2**60),
    metadata=st.dictionaries(st.text(alphabet="abc"), st.integers() | st.text(alphabet='\x00"\\é\u2028')),
)
def test_whatever_is_said_comes_back(texts: tuple[str, str, str], at_ms: int, metadata: dict[str, object]):
    raw = Raw(msgspec.json.Encoder(order="sorted").encode(metadata))
    entry = decode_entry(chain().seal(texts[0], "error", texts[1], at_ms, provider=texts[2], metadata=raw))
    assert (entry.event, entry.message, entry.provider, entry.timestamp) == (*texts, at_ms)
    assert msgspec.json.decode(entry.metadata) == metadata


def test_a_checkpoint_is_signed_as_a_whole():
    key = SigningKey(Secret(KEY))
    checkpoint = chain().checkpoint(5)
    assert checkpoint.is_signed_by(key)
    changes = {"number": 1, "cut_hash": "1" * 64, "cut_number": 1, "hash": "1" * 64, "key_id": "x", "timestamp": 6}
    for name, value in changes.items():
        assert not msgspec.structs.replace(checkpoint, **{name: value}).is_signed_by(key), name
    assert not checkpoint.is_signed_by(SigningKey(Secret(KEY + "!")))
    assert Checkpoint.signed(key, GENESIS, GENESIS, 6).signature != checkpoint.signature
