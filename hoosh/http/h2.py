"""HTTP/2 as the server reads and writes it, sans-IO, over `h2`: which reads, and keeps the state; we write.

    bytes ──FloodGuard.feed──▶ is the peer getting anywhere?
    bytes ──ServerProtocol.receive_data──▶ events          h2: frames, HPACK, streams, windows, SETTINGS, PING
    header list ──read_head──▶ IncomingHead                 what RFC 9113, section 8 asks of a request, in one pass

`h2` checks each frame; it does not ask whether the peer is getting anywhere.  The published floods (rapid reset,
CVE-2023-44487; CONTINUATION, CVE-2024-27316 and kin; SETTINGS, PING, empty frames and data dribble, CVE-2019-9511
to 9518) are all made of frames that are legal one by one.  `FloodGuard` walks the frame headers of what was
received (RFC 9113, section 4.1), charges those that move no request forward, and pays back for useful work and time.

Responses are framed here, and HPACK is our own (`hpack`): through h2 those two cost as much as the rest of a request.
"""

from __future__ import annotations

import re
from struct import Struct as Packing
from typing import Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h2.stream
from hyperframe.frame import GoAwayFrame, PriorityFrame
from msgspec import Struct

from hoosh.http.hpack import HeaderDecoder, encode_fields
from hoosh.http.message import HeaderList, Limits

__all__ = ["PREFACE", "FloodGuard", "IncomingHead", "MalformedHead", "ServerProtocol", "read_head"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, CONTINUATION = 0x0, 0x1, 0x3, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
FRAME_HEAD_BYTES = 9
MAX_FRAME_BYTES = 16384
"""SETTINGS_MAX_FRAME_SIZE where nobody has said otherwise, as we do not."""

STREAM_WINDOW = 65535
"""What a client may send of a body that nobody has asked for yet: the protocol's own default."""


RESET = frozenset({h2.stream.StreamClosedBy.SEND_RST_STREAM, h2.stream.StreamClosedBy.RECV_RST_STREAM})


# -- the connection ---------------------------------------------------------------------------------------------


class _Silent:
    """A logger for h2, which formats nothing.  h2's own costs a twentieth of a request."""

    def debug(self, *args: object) -> None:
        return None

    trace = debug


class ServerProtocol(h2.connection.H2Connection):
    """The server's side of one connection.  Frames to send gather in order; `data_to_send` takes them.

    Differs from h2 where h2 would end a connection over one request, or forget running ones:

    * streams past the ceiling are counted, and refused one by one, by whoever uses this (`open_inbound_streams`);
    * a body that is not as long as promised resets its stream (RFC 9113, section 8.1.1);
    * GOAWAY, sent or received, leaves running streams alone (section 6.8).
    """

    MAX_CLOSED_STREAMS = 1024  # h2 would remember 65536 of each connection

    _head = Packing(">IBI")
    """length and type, flags, stream: a frame's header."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,  # see `read_head`
                normalize_inbound_headers=False,
                logger=_Silent(),  # type: ignore[arg-type]
            )
        )
        codes = h2.settings.SettingCodes
        self.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: limits.streams,
                codes.MAX_HEADER_LIST_SIZE: limits.head_bytes,
                codes.ENABLE_CONNECT_PROTOCOL: 0,
            },
        )
        self.decoder = HeaderDecoder()
        self.initiate_connection()
        if limits.streams > 1:
            # Room for every stream's window: bodies that nobody reads yet must not keep others from arriving.
            self.increment_flow_control_window(STREAM_WINDOW * (limits.streams - 1))
        self._table_is_unsettled = True

    @property
    def open_inbound_streams(self) -> int:
        return 0

    @property
    def queued_bytes(self) -> int:
        return len(self._data_to_send)

    # -- receiving ----------------------------------------------------------------------------------------------

    def _receive_frame(self, frame: Any) -> list[h2.events.Event]:
        kind = type(frame)
        if kind is GoAwayFrame:
            return [_terminated(frame)]
        if kind is PriorityFrame:  # RFC 9113, section 5.3.2: deprecated
            return []
        try:
            # As in h2, but for a log line, for which that prints every frame.
            frames, events = self._frame_dispatch_table[kind](frame)
        except h2.exceptions.InvalidBodyLengthError:
            self.acknowledge_received_data(frame.flow_controlled_length, frame.stream_id)
            return self.abandon(frame.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
        except (h2.exceptions.StreamClosedError, h2.exceptions.StreamIDTooLowError) as error:
            if not self._stream_is_closed_by_reset(error.stream_id):
                raise
            self._queue(RST_STREAM, 0, error.stream_id, h2.errors.ErrorCodes.STREAM_CLOSED.to_bytes(4, "big"))
            return getattr(error, "_events", [])
        if frames:
            self._prepare_for_sending(frames)
        return cast("list[h2.events.Event]", events)

    def abandon(self, stream_id: int, code: h2.errors.ErrorCodes) -> list[h2.events.Event]:
        """RST_STREAM, unless the stream is closed already; the event that tells of it."""
        try:
            self.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return []
        return [h2.events.StreamReset(stream_id=stream_id, error_code=code, remote_reset=False)]

    def give_back(self, stream_id: int, flow_bytes: int) -> None:
        """Let the peer send `flow_bytes` more; what belonged to a stream that is gone goes to the connection."""
        if flow_bytes:
            self.acknowledge_received_data(flow_bytes, stream_id)

    def forget(self, stream_id: int) -> None:
        """Nothing more will be done with a closed stream.  If it was reset, frames of it may still be on their way."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None and stream.closed_by in RESET:
            self._closed_streams[stream_id] = stream.closed_by

    # -- sending ------------------------------------------------------------------------------------------------

    def settle_table(self) -> None:
        """The peer's settings have changed: say again that we use no table, as section 4.2 of RFC 7541 asks."""
        self._table_is_unsettled = True

    def send_head(self, stream_id: int, headers: HeaderList, *, end: bool) -> None:
        """Queue a response head.  The stream must be open."""
        block = encode_fields(headers)
        if self._table_is_unsettled:
            self._table_is_unsettled = False
            block = b"\x20" + block  # a dynamic table of no bytes
        rest = b""
        if len(block) > self.max_outbound_frame_size:
            block, rest = block[: self.max_outbound_frame_size], block[self.max_outbound_frame_size :]
        flags = (END_STREAM if end else 0) | (0 if rest else END_HEADERS)
        self._queue(HEADERS, flags, stream_id, block)
        while rest:
            block, rest = rest[: self.max_outbound_frame_size], rest[self.max_outbound_frame_size :]
            self._queue(CONTINUATION, 0 if rest else END_HEADERS, stream_id, block)
        if end:
            self._end_stream(stream_id)

    def send_body(self, stream_id: int, data: bytes | memoryview, *, end: bool) -> None:
        """Queue one DATA frame.  The stream must be open; `data` must fit a frame and both windows."""
        self._queue(DATA, END_STREAM if end else 0, stream_id, data)
        self.outbound_flow_control_window -= len(data)
        self.streams[stream_id].outbound_flow_control_window -= len(data)
        if end:
            self._end_stream(stream_id)

    def window(self, stream_id: int) -> int:
        """How much may be sent on an open stream.  Below zero when the peer has shrunk its windows."""
        return min(self.outbound_flow_control_window, self.streams[stream_id].outbound_flow_control_window)

    def send_goaway(self, code: h2.errors.ErrorCodes) -> None:
        """Queue GOAWAY, and let running streams go on: h2 would refuse to read or send what they still owe."""
        state = self.state_machine.state
        self.close_connection(code)
        self.state_machine.state = state

    def _queue(self, kind: int, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        self._data_to_send += self._head.pack(len(payload) << 8 | kind, flags, stream_id)
        self._data_to_send += payload

    def _end_stream(self, stream_id: int) -> None:
        self.streams[stream_id].state_machine.process_input(h2.stream.StreamInputs.SEND_END_STREAM)


def _terminated(frame: Any) -> h2.events.ConnectionTerminated:
    event = h2.events.ConnectionTerminated()
    event.error_code = frame.error_code
    return event


# -- request heads ----------------------------------------------------------------------------------------------


class MalformedHead(Exception):
    """A request head that RFC 9113, section 8 does not allow: a stream error (section 8.1.1)."""


class IncomingHead(Struct, frozen=True):
    """A request's pseudo-headers, and its headers with `:authority` as `host`."""

    method: bytes
    path: bytes
    fields: list[tuple[bytes, bytes]]


PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
CONNECTION_SPECIFIC = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})

_is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_is_value = re.compile(rb"(?![ \t])[^\x00\r\n]*(?<![ \t])").fullmatch


def read_head(raw: HeaderList) -> IncomingHead:
    """Check and sort a request's decoded headers (RFC 9113, sections 8.2 and 8.3).  Raises MalformedHead."""
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    hosts: list[bytes] = []
    seen_field = False
    for name, value in raw:
        if not _is_value(value):
            raise MalformedHead("a value holds what it may not")
        if name in PSEUDO:
            if name in pseudo or seen_field:
                raise MalformedHead("a pseudo-header comes twice, or late")
            pseudo[name] = value
            continue
        seen_field = True
        if not _is_name(name):
            raise MalformedHead("a name holds what it may not")
        if name in CONNECTION_SPECIFIC or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedHead("a header that belongs to HTTP/1.1 connections")
        if name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            hosts.append(value)
        else:
            fields.append((name, value))
    return _assemble(pseudo, fields, cookies, hosts)


def _assemble(
    pseudo: dict[bytes, bytes], fields: list[tuple[bytes, bytes]], cookies: list[bytes], hosts: list[bytes]
) -> IncomingHead:
    method, path = pseudo.get(b":method"), pseudo.get(b":path")
    authority = pseudo.get(b":authority", hosts[0] if hosts else None)
    if not method or authority is None or hosts not in ([], [authority]):
        raise MalformedHead("no method, or not one host")
    if method == b"CONNECT":
        path = b""
    elif not path or b":scheme" not in pseudo:
        raise MalformedHead("no path, or no scheme")
    fields.append((b"host", authority))
    if cookies:
        fields.append((b"cookie", b"; ".join(cookies)))
    return IncomingHead(method, path, fields)


# -- floods -----------------------------------------------------------------------------------------------------

CONTINUATION_COST = 8
"""A legal head fits two or three frames; `h2` itself gives up at 64, with a less telling error."""
REFILL_PER_S = 10.0
TINY_BYTES = 256
"""A DATA frame smaller than this, cut short by the peer's window, counts as dribble."""


class FloodGuard:
    """A budget of frames that do no work; once it is spent, the `verdict` is that the connection must go.

    The peer begins with `budget`; each idle frame takes one, a finished request gives `REQUEST_CREDIT` back, a second
    gives REFILL_PER_S back, never above the budget.  A frame larger than we allow ends it at once: h2 looks at the
    length only when all of the frame has come, up to 16 MiB.
    """

    REQUEST_CREDIT = 4.0
    DATA_CREDIT = 2.0
    """For the WINDOW_UPDATEs, of the stream and of the connection, that a DATA frame of ours calls for."""

    __slots__ = ("_block_open", "_budget", "_head", "_kind", "_left", "_oversized", "_refilled_at", "_skip")

    def __init__(self, budget: int, *, now: float) -> None:
        self._budget = float(budget)
        self._left = float(budget)
        self._refilled_at = now
        self._head = b""
        """A frame header of which only a part has come."""
        self._skip = 0
        """Payload bytes of the current frame that are still to come."""
        self._kind = DATA
        """Of the latest frame."""
        self._block_open = False
        """HEADERS has come, the frame with END_HEADERS has not."""
        self._oversized = False

    @property
    def head_open(self) -> bool:
        """Part of a header block has come, and not all of it."""
        return self._block_open or bool(self._head) or (self._skip > 0 and self._kind in (HEADERS, CONTINUATION))

    def verdict(self) -> h2.errors.ErrorCodes | None:
        """Why the connection must go, or None."""
        if self._oversized:
            return h2.errors.ErrorCodes.FRAME_SIZE_ERROR
        return h2.errors.ErrorCodes.ENHANCE_YOUR_CALM if self._left < 0 else None

    def charge(self, cost: float = 1.0) -> None:
        self._left -= cost

    def credit(self, amount: float) -> None:
        self._left = min(self._budget, self._left + amount)

    def feed(self, data: bytes, *, now: float) -> None:
        """Walk the frames in what one receive brought."""
        self.credit((now - self._refilled_at) * REFILL_PER_S)
        self._refilled_at = now
        position = self._skip
        if self._head:
            data = self._head + data
            self._head = b""
        end = len(data)
        while position + FRAME_HEAD_BYTES <= end:
            length = int.from_bytes(data[position : position + 3], "big")
            self._weigh(data[position + 3], data[position + 4], length)
            position += FRAME_HEAD_BYTES + length
        if position < end:
            self._head = data[position:]
            self._skip = 0
        else:
            self._skip = position - end

    def _weigh(self, kind: int, flags: int, length: int) -> None:
        self._kind = kind
        if length > MAX_FRAME_BYTES:
            self._oversized = True
        if kind == HEADERS:
            self._block_open = not flags & END_HEADERS
        elif kind == DATA:
            if length == 0 and not flags & END_STREAM:
                self.charge()
        elif kind == CONTINUATION:
            self.charge(CONTINUATION_COST)
            self._block_open = not flags & END_HEADERS
        else:
            self.charge()

    def sent_data(self, sent: int, *, cut_by_window: bool) -> None:
        """We sent a DATA frame: credit, or dribble."""
        if cut_by_window and sent < TINY_BYTES:
            self.charge()
        else:
            self.credit(self.DATA_CREDIT)
