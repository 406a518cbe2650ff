"""W3C trace context: `traceparent` and `tracestate`, read strictly and written.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
                 │  trace id                         parent id        flags: 1 sampled, 2 the trace id is random
                 version; a later one is read as far as it is known

What is not as the recommendation has it is dropped: a traceparent with all that belongs to it, a tracestate alone.

Source: W3C Trace Context, Recommendation of 23 November 2021, sections 3.2, 3.3 and 4; the flag `random` is of Level 2.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["SAMPLED", "TRACEPARENT", "TRACESTATE", "SpanContext", "read_context", "traceparent"]

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
SAMPLED = 1
RANDOM = 2
LENGTH = 55
HEX = b"0123456789abcdef"
MEMBERS_MAX = 32
STATE_CHARS = 512
"""As many of a tracestate go on; of a longer one whole members are left out, long ones first (section 3.3.1.5)."""
STATE_MAX_CHARS = 8192
"""More than this is not even looked at."""
LONG_MEMBER = 128
KEY_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
KEY_REST = KEY_FIRST | frozenset("_-*/@")
KEY_CHARS, VALUE_CHARS = 256, 256
VALUE = frozenset(map(chr, range(0x20, 0x7F))) - frozenset(",=")


class SpanContext(Struct, frozen=True):
    """Whose child a span is."""

    trace_id: int
    span_id: int
    flags: int
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


def read_context(headers: Iterable[tuple[bytes, bytes]]) -> SpanContext | None:
    """What the client says of its trace; None where that is nothing, or not to be read.  Names are in lower case."""
    parents, states = list[bytes](), list[bytes]()
    for name, value in headers:
        if name == TRACEPARENT:
            parents.append(value)
        elif name == TRACESTATE:
            states.append(value)
    if len(parents) != 1:
        return None
    parent = parse_traceparent(parents[0].strip(b" \t"))
    if parent is None or not states:
        return parent
    trace_id, span_id, flags = parent.trace_id, parent.span_id, parent.flags
    return SpanContext(trace_id, span_id, flags, parse_tracestate(b",".join(states)))


def parse_traceparent(value: bytes) -> SpanContext | None:
    """None where it is not one.  Unknown flags are taken for 0."""
    if len(value) < LENGTH or value[2:3] + value[35:36] + value[52:53] != b"---":
        return None
    version, trace_id, span_id, flags = value[:2], value[3:35], value[36:52], value[53:55]
    if (version + trace_id + span_id + flags).strip(HEX) or version == b"ff":
        return None
    if len(value) > LENGTH and (version == b"00" or value[55:56] != b"-"):
        return None
    trace, span = int(trace_id, 16), int(span_id, 16)
    return SpanContext(trace, span, int(flags, 16) & (SAMPLED | RANDOM)) if trace and span else None


def parse_tracestate(value: bytes) -> str:
    """As it goes on; "" where it is not one."""
    if len(value) > STATE_MAX_CHARS or not value.isascii():
        return ""
    members = [member for each in value.decode().split(",") if (member := each.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > MEMBERS_MAX or len(keys) < len(members) or not all(map(_is_member, members)):
        return ""
    return ",".join(_fitting(members))


def _is_member(member: str) -> bool:
    key, equals, value = member.partition("=")
    if not (equals and 0 < len(key) <= KEY_CHARS and 0 < len(value) <= VALUE_CHARS):
        return False
    return key[0] in KEY_FIRST and KEY_REST.issuperset(key) and VALUE.issuperset(value) and key.count("@") <= 1


def _fitting(members: list[str]) -> list[str]:
    """The first ones, that came last, are the most important."""
    if sum(map(len, members)) + len(members) - 1 > STATE_CHARS:
        members = [member for member in members if len(member) <= LONG_MEMBER]
    while sum(map(len, members)) + len(members) - 1 > STATE_CHARS:
        members.pop()
    return members


def traceparent(trace_id: int, span_id: int, flags: int) -> bytes:
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, flags)
