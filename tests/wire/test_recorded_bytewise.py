"""Every recorded stream, cut at every byte, in LF and CRLF: the same events come out, and the same verdict.

One pass with a byte at a time has every cut in it.  Two pieces are another case: the first may end in the midst of
an event whose rest comes with many others: a stride of those is in each dialect's own tests, and here for every stream
that is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest
from test_recorded_across import Recorded, answers

from hoosh.dialects.contract import Ending
from hoosh.dialects.replies import fold
from hoosh.values import CallSaid, ChatReply, ReplyEvent, ToolCallStarted

SHORT_BYTES = 3_000
STREAMS = [recorded for recorded in answers() if recorded.is_stream]
LINE_ENDS: dict[str, Callable[[bytes], bytes]] = {
    "as recorded": lambda wire: wire,
    "LF": lambda wire: wire.replace(b"\r\n", b"\n"),
    "CRLF": lambda wire: wire.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
}

Heard = tuple[ChatReply | Sequence[ReplyEvent], Ending, str]


def hear(recorded: Recorded, pieces: Iterable[bytes]) -> Heard:
    """What is understood; ids that had to be invented are left out."""
    decoder = recorded.upstream.chat_decoder(provider="p")
    events: list[ReplyEvent] = []
    for piece in pieces:
        events += decoder.feed(piece)
    rest, ending = decoder.close()
    events += rest
    if ending is not Ending.COMPLETE:
        return [event for event in events if not isinstance(event, ToolCallStarted)], ending, str(decoder.error)
    return without_invented_ids(fold(events)), ending, ""


def without_invented_ids(reply: ChatReply) -> ChatReply:
    parts = tuple(
        CallSaid("", part.name, part.arguments, part.signature) if isinstance(part, CallSaid) else part
        for part in reply.parts
    )
    return ChatReply(parts, reply.finish, reply.usage, reply.id, reply.model)


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("recorded", STREAMS, ids=lambda recorded: recorded.name)
def test_a_byte_at_a_time_says_the_same(recorded: Recorded, line_end: str):
    wire = LINE_ENDS[line_end](recorded.wire)
    whole, ending, error = hear(recorded, [wire])
    bytewise, its_ending, its_error = hear(recorded, [wire[at : at + 1] for at in range(len(wire))])
    assert (its_ending, its_error) == (ending, error)
    if ending is Ending.COMPLETE:
        assert bytewise == whole


@pytest.mark.parametrize(
    "recorded",
    [recorded for recorded in STREAMS if len(recorded.wire) <= SHORT_BYTES],
    ids=lambda recorded: recorded.name,
)
def test_two_pieces_say_the_same_wherever_the_cut(recorded: Recorded):
    wire = recorded.wire
    whole = hear(recorded, [wire])
    for cut in range(1, len(wire)):
        heard = hear(recorded, [wire[:cut], wire[cut:]])
        assert heard[1:] == whole[1:], cut
        if whole[1] is Ending.COMPLETE:
            assert heard == whole, cut
