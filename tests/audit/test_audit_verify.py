"""Every way to change a log that we could think of, at every place: found, and the first bad entry named.

The chain has twelve entries and two hand-overs: A seals 1 to 3, hands over to B with 4, B seals to 7, hands back to A
with 8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.audit import Chain, Checkpoint, Head, SigningKey, Verdict, Verifier, encode_checkpoint, encode_entry, verify
from hoosh.audit.entry import NOTHING, decode_entry, hash_of
from hoosh.values import Secret

A, B, STRANGER = (Secret(letter * 32) for letter in "abs")
LENGTH = 12


def build(word: str = "said") -> tuple[list[bytes], Checkpoint]:
    a, b = SigningKey(A), SigningKey(B)
    lines: list[bytes] = []
    chain = Chain(a)
    for number in range(1, LENGTH + 1):
        if number in (4, 8):
            old, new = (a, b) if number == 4 else (b, a)
            chain = Chain(new, chain.head)
            lines.append(chain.hand_over(old, number))
        else:
            metadata = Raw(json.dumps({"word": word}, separators=(",", ":")).encode())
            line = chain.seal(f"event.{number}", "info", word, number, provider="p", model="m", metadata=metadata)
            lines.append(line)
    return lines, chain.checkpoint(99)


LINES, CHECKPOINT = build()
OTHERS, OTHERS_CHECKPOINT = build("another")
"""A chain of the same keys."""


def resigned(line: bytes, key: Secret, **changes: object) -> bytes:
    """The entry, changed and sealed anew at its place."""
    entry, signing = decode_entry(line), SigningKey(key)
    integrity = msgspec.structs.replace(entry.integrity, key_id=signing.id, signature="")
    bare = msgspec.structs.replace(entry, integrity=integrity, **changes)
    signature = signing.sign_entry(hash_of(encode_entry(bare)))
    return encode_entry(
        msgspec.structs.replace(bare, integrity=msgspec.structs.replace(integrity, signature=signature))
    )


def with_trailer(lines: Iterable[bytes]) -> list[bytes]:
    return [*lines, encode_checkpoint(CHECKPOINT)]


def both_ways(lines: list[bytes], keys: tuple[Secret, ...] = (A, B)) -> Verdict:
    """With the checkpoint known before, and as the last line: one verdict."""
    before, behind = verify(lines, keys, CHECKPOINT), verify(with_trailer(lines), keys)
    assert (before.valid, before.first_bad, before.id) == (behind.valid, behind.first_bad, behind.id)
    return before


def test_a_log_that_nobody_has_touched_is_valid():
    verdict = both_ways(LINES)
    assert verdict == Verdict(True, 12, 1, 12, CHECKPOINT.hash, 12, (SigningKey(A).id, SigningKey(B).id))
    assert [decode_entry(line).number for line in LINES] == list(range(1, 13))


FIELDS = {
    "event": "other", "id": "aud_0", "level": "error", "message": "other", "model": "o", "provider": "o",
    "timestamp": 77, "number": 77, "metadata": {"word": "other"},
}  # fmt: skip
INTEGRITY = {"key_id": "0" * 16, "previous_hash": "1" * 64, "signature": "1" * 64, "version": "1.0.0"}


@pytest.mark.parametrize("field", [*FIELDS, *INTEGRITY])
@pytest.mark.parametrize("place", range(LENGTH))
def test_a_changed_field_is_found_where_it_is(place: int, field: str):
    entry = json.loads(LINES[place])
    if field in FIELDS:
        entry[field] = FIELDS[field]
    else:
        entry["integrity"][field] = INTEGRITY[field]
    changed = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()
    lines = [*LINES[:place], changed, *LINES[place + 1 :]]
    assert verify(lines, [A, B], CHECKPOINT).first_bad == place + 1
    # Before the checkpoint has come, nobody but the first entry knows its number.
    assert verify(with_trailer(lines), [A, B]).first_bad == (77 if (place, field) == (0, "number") else place + 1)


Attack = Callable[[int], tuple[list[bytes], int]]
"""A place (from 0) → the lines then, and the number of the first bad entry."""

ATTACKS: dict[str, Attack] = {
    "removed": lambda i: ([*LINES[:i], *LINES[i + 1 :]], i + 1),
    "cut off behind": lambda i: (LINES[:i], i + 1),
    "cut off in front": lambda i: (LINES[i + 1 :], 1),
    "repeated": lambda i: ([*LINES[: i + 1], *LINES[i:]], i + 2),
    "the first again": lambda i: ([*LINES[: i + 1], LINES[0], *LINES[i + 1 :]], i + 2),
    "unreadable": lambda i: ([*LINES[:i], b"\x00", *LINES[i + 1 :]], i + 1),
    "inserted": lambda i: ([*LINES[:i], OTHERS[i], *LINES[i:]], i + 1 if i else 2),
    "sealed by a stranger": lambda i: ([*LINES[:i], resigned(LINES[i], STRANGER), *LINES[i + 1 :]], i + 1),
    "one of another chain": lambda i: ([*LINES[:i], OTHERS[i], *LINES[i + 1 :]], i + 1 if i else 2),
    "another chain goes on": lambda i: ([*LINES[:i], *OTHERS[i:]], i + 1 if i else LENGTH),
    "another chain before": lambda i: ([*OTHERS[: i + 1], *LINES[i + 1 :]], i + 2 if i + 1 < LENGTH else LENGTH),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("place", range(LENGTH))
def test_an_attack_is_found_where_it_begins(name: str, place: int):
    lines, first_bad = ATTACKS[name](place)
    if name == "repeated" and place == LENGTH - 1:
        assert not verify(with_trailer(lines), [A, B]).valid
    verdict = verify(lines, [A, B], CHECKPOINT)
    assert (verdict.valid, verdict.first_bad) == (False, first_bad), verdict.reason
    assert not verify(with_trailer(lines), [A, B]).valid


@pytest.mark.parametrize("place", range(LENGTH - 1))
def test_neighbours_that_changed_places_are_found(place: int):
    lines = [*LINES[:place], LINES[place + 1], LINES[place], *LINES[place + 2 :]]
    assert verify(lines, [A, B], CHECKPOINT).first_bad == place + 1
    assert not verify(with_trailer(lines), [A, B]).valid


@pytest.mark.parametrize("place", [i for i in range(LENGTH) if i not in (3, 7)])
def test_a_known_key_that_is_not_in_office_seals_nothing(place: int):
    wrong = B if decode_entry(LINES[place]).integrity.key_id == SigningKey(A).id else A
    verdict = both_ways([*LINES[:place], resigned(LINES[place], wrong), *LINES[place + 1 :]])
    # At the very beginning nobody knows which key is in office: the next entry shows it.
    assert verdict.first_bad == (place + 1 if place else 2)


@pytest.mark.parametrize("place", range(LENGTH))
def test_whoever_seals_one_entry_anew_breaks_the_next_link(place: int):
    """Even with the right key."""
    key = A if decode_entry(LINES[place]).integrity.key_id == SigningKey(A).id else B
    lines = [*LINES[:place], resigned(LINES[place], key, message="never"), *LINES[place + 1 :]]
    assert both_ways(lines).first_bad == min(place + 2, LENGTH)


def test_a_hand_over_needs_the_word_of_the_old_key():
    entry = decode_entry(LINES[3])
    word = msgspec.json.decode(entry.metadata)
    for voucher in ("", "0" * 64, SigningKey(B).vouch(4, entry.integrity.previous_hash, word["new_key"])):
        metadata = Raw(msgspec.json.Encoder(order="sorted").encode(word | {"voucher": voucher}))
        verdict = both_ways([*LINES[:3], resigned(LINES[3], B, metadata=metadata), *LINES[4:]])
        assert (verdict.first_bad, "vouched" in (verdict.reason or "")) == (4, True)
    for change in ({"metadata": Raw(b"{}")}, {"metadata": NOTHING}, {"event": "audit.checkpoint"}):
        verdict = both_ways([*LINES[:3], resigned(LINES[3], B, **change), *LINES[4:]])
        assert (verdict.first_bad, "without a hand-over" in (verdict.reason or "")) == (4, True)


def test_hand_overs_that_changed_places_are_found():
    lines = list(LINES)
    lines[3], lines[7] = lines[7], lines[3]
    assert both_ways(lines).first_bad == 4


@pytest.mark.parametrize("keys", [(B,), (STRANGER,), ()])
def test_a_checkpoint_of_a_key_that_was_not_given_proves_nothing(keys: tuple[Secret, ...]):
    verdict = verify(LINES, keys, CHECKPOINT)
    assert (verdict.valid, verdict.first_bad) == (False, None)
    assert SigningKey(A).id in (verdict.reason or "")


def test_entries_of_a_key_that_is_gone_are_held_by_those_that_follow():
    verdict = both_ways(LINES, (A,))
    assert (verdict.valid, verdict.keys_unknown) == (True, (SigningKey(B).id,))
    for place in range(LENGTH):
        for field in ("message", "signature", "previous_hash"):
            entry = json.loads(LINES[place])
            (entry if field == "message" else entry["integrity"])[field] = "other"
            changed = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()
            verdict = verify([*LINES[:place], changed, *LINES[place + 1 :]], [A], CHECKPOINT)
            if field == "signature" and 3 <= place <= 6:
                assert verdict.valid  # nobody can check it, and it says nothing
            else:
                assert verdict.first_bad in ((place, place + 1) if field == "previous_hash" else (place + 1,))


@pytest.mark.parametrize("end", range(4, 8))
def test_but_not_at_the_end(end: int):
    head = Head(end, hash_at(end))
    verdict = verify(LINES[:end], [A], Checkpoint.signed(SigningKey(A), head, Head(), 1))
    assert (verdict.valid, verdict.first_bad) == (False, None)  # signed with a key that is out of office
    verdict = verify([*LINES[:3], encode_checkpoint(early()), *LINES[3:end]], [A])
    assert (verdict.valid, verdict.first_bad) == (False, 4)
    assert SigningKey(B).id in (verdict.reason or "")


def early() -> Checkpoint:
    return Checkpoint.signed(SigningKey(A), Head(3, hash_at(3)), Head(), 1)


# -- checkpoints -----------------------------------------------------------------------------------------------------


def test_without_a_checkpoint_nobody_can_say_that_the_end_is_there():
    for lines in (LINES, LINES[:5], []):
        verdict = verify(lines, [A, B])
        assert (verdict.valid, verdict.first_bad) == (False, None)
        assert "no signed checkpoint" in (verdict.reason or "")


@pytest.mark.parametrize(
    "change", [{"number": 11}, {"hash": "1" * 64}, {"cut_number": 3}, {"key_id": "x"}, {"version": "9"}]
)
def test_a_changed_checkpoint_is_found(change: dict[str, object]):
    false = msgspec.structs.replace(CHECKPOINT, **change)
    for verdict in (verify(LINES, [A, B], false), verify([*LINES, encode_checkpoint(false)], [A, B])):
        assert (verdict.valid, verdict.first_bad) == (False, None)
        assert "checkpoint" in (verdict.reason or "")


def test_entries_behind_the_checkpoint_are_good_but_nobody_would_miss_them():
    early = Checkpoint.signed(SigningKey(B), Head(5, hash_at(5)), Head(), 1)
    for lines, known in ((LINES, early), ([*LINES[:5], encode_checkpoint(early), *LINES[5:]], None)):
        verdict = verify(lines, [A, B], known)
        assert (verdict.valid, verdict.through_number, verdict.vouched_number) == (True, 12, 5)
    assert verify(LINES[:4], [A, B], early).first_bad == 5


def test_a_checkpoint_stands_behind_its_entry():
    early = encode_checkpoint(Checkpoint.signed(SigningKey(B), Head(5, hash_at(5)), Head(), 1))
    for place in range(LENGTH + 1):
        assert verify([*LINES[:place], early, *LINES[place:]], [A, B]).valid == (place == 5)


def test_an_old_key_signs_no_checkpoint():
    false = Checkpoint.signed(SigningKey(A), Head(5, hash_at(5)), Head(), 1)
    assert not verify(LINES[:5], [A, B], false).valid
    assert not verify([*LINES[:5], encode_checkpoint(false)], [A, B]).valid


@pytest.mark.parametrize("cut", range(LENGTH + 1))
def test_a_log_whose_beginning_was_forgotten_begins_where_the_checkpoint_says(cut: int):
    forgotten = Checkpoint.signed(SigningKey(A), Head(12, hash_at(12)), Head(cut, hash_at(cut)), 1)
    kept = LINES[cut:]
    good = verify(kept, [A, B], forgotten)
    assert (good.valid, good.entries, good.from_number) == (True, 12 - cut, cut + 1 if kept else None)
    assert verify([*kept, encode_checkpoint(forgotten)], [A, B]).valid
    if kept:
        short = verify(kept[1:], [A, B], forgotten)
        assert (short.valid, short.first_bad) == (False, cut + 1)
        assert not verify([*kept[1:], encode_checkpoint(forgotten)], [A, B]).valid
    if cut:  # what was forgotten has been put back
        assert not verify(LINES[cut - 1 :], [A, B], forgotten).valid
        assert not verify([*LINES[cut - 1 :], encode_checkpoint(forgotten)], [A, B]).valid


def test_a_log_without_entries_is_valid_with_its_checkpoint():
    checkpoint = Chain(SigningKey(A)).checkpoint(1)
    for verdict in (verify([], [A], checkpoint), verify([encode_checkpoint(checkpoint)], [A])):
        assert verdict == Verdict(True, 0, None, 0, "0" * 64, 0)


# -- anchors ---------------------------------------------------------------------------------------------------------


def hash_at(number: int) -> str:
    if number == 0:
        return "0" * 64
    return CHECKPOINT.hash if number == LENGTH else decode_entry(LINES[number]).integrity.previous_hash


@pytest.mark.parametrize("number", range(LENGTH + 1))
def test_an_anchor_sees_that_whoever_holds_the_key_has_written_another_past(number: int):
    assert verify(LINES, [A, B], CHECKPOINT, {number: hash_at(number)}).valid
    assert verify(OTHERS, [A, B], OTHERS_CHECKPOINT).valid
    verdict = verify(OTHERS, [A, B], OTHERS_CHECKPOINT, {number: hash_at(number)})
    assert (verdict.valid, verdict.first_bad) == ((True, None) if number == 0 else (False, number))


def test_an_anchor_sees_that_an_old_copy_was_put_back():
    old = Checkpoint.signed(SigningKey(B), Head(5, hash_at(5)), Head(), 1)
    assert verify(LINES[:5], [A, B], old).valid
    assert verify(LINES[:5], [A, B], old, {9: hash_at(9)}).first_bad == 6


def test_an_anchor_that_was_forgotten_is_said():
    kept = Checkpoint.signed(SigningKey(A), Head(12, hash_at(12)), Head(6, hash_at(6)), 1)
    assert verify(LINES[6:], [A, B], kept, {6: hash_at(6), 7: hash_at(7)}).valid
    assert verify(LINES[6:], [A, B], kept, {6: hash_at(5)}).first_bad == 7
    assert "no longer" in (verify(LINES[6:], [A, B], kept, {5: hash_at(5)}).reason or "")


# -- whatever it is fed ----------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([*LINES, *OTHERS, encode_checkpoint(CHECKPOINT), b"", b"{}"]), max_size=20))
def test_only_the_whole_log_in_its_order_is_valid(lines: list[bytes]):
    whole = with_trailer(LINES)
    assert verify(lines, [A, B]).valid == (lines == whole)


@given(place=st.integers(0, LENGTH), byte=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(place: int, byte: int, bit: int):
    lines = with_trailer(LINES)
    data = bytearray(lines[place])
    data[byte % len(data)] ^= 1 << bit
    lines[place] = bytes(data)
    verdict = verify(lines, [A, B])
    assert not verdict.valid
    assert verdict.first_bad in (None, place + 1) or place == 0
    assert (verdict.reason or "").isprintable()


@given(st.lists(st.binary(max_size=200)))
def test_noise_is_a_verdict_and_no_error(lines: list[bytes]):
    assert not verify(lines, [A]).valid


@pytest.mark.parametrize("after", range(LENGTH))
def test_a_part_is_verified_from_a_place_that_is_known(after: int):
    keys = [SigningKey(A), SigningKey(B)]
    start = Head(after, hash_at(after), decode_entry(LINES[after - 1]).integrity.key_id if after else None)
    verifier = Verifier(keys, after=start)
    assert all(verifier.feed(line) for line in LINES[after:])
    assert verifier.close().valid
    wrong = Verifier(keys, after=Head(after, "1" * 64))
    assert not wrong.feed(LINES[after])
    assert wrong.close().first_bad == after + 1
