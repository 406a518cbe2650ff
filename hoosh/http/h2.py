"""What HTTP/2 needs beside the `h2` library, sans-IO: a guard against floods, and GOAWAY that ends nothing.

`h2` checks each frame; it does not ask whether the peer is getting anywhere.  The published floods (rapid reset,
CVE-2023-44487; CONTINUATION, CVE-2024-24576 and kin; SETTINGS, PING, empty frames and data dribble, CVE-2019-9511
to 9518) are all made of frames that are legal one by one.  `FloodGuard` walks the frame headers of what was
received (RFC 9113, section 4.1), charges those that move no request forward, and pays back for useful work and time.
"""

from __future__ import annotations

import h2.config
import h2.connection
import h2.errors
import h2.settings

from hoosh.http.message import Limits

__all__ = ["PREFACE", "FloodGuard", "send_goaway", "server_connection"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, CONTINUATION = 0x0, 0x1, 0x3, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
FRAME_HEAD_BYTES = 9

CONTINUATION_COST = 8
"""A legal head fits two or three frames; `h2` itself gives up at 64, with a less telling error."""
REFILL_PER_S = 10.0
TINY_BYTES = 256
"""A DATA frame smaller than this, cut short by the peer's window, counts as dribble."""


class FloodGuard:
    """A budget of frames that do no work.  `is_exhausted` once it is spent: the connection must go.

    The peer begins with `budget`; each idle frame takes one, a finished request gives `REQUEST_CREDIT` back, a second
    gives REFILL_PER_S back, never above the budget.
    """

    REQUEST_CREDIT = 4.0

    __slots__ = ("_budget", "_head", "_left", "_refilled_at", "_skip", "head_frame_open")

    def __init__(self, budget: int, *, now: float) -> None:
        self._budget = float(budget)
        self._left = float(budget)
        self._refilled_at = now
        self._head = b""
        """A frame header of which only a part has come."""
        self._skip = 0
        """Payload bytes of the current frame that are still to come."""
        self.head_frame_open = False
        """Inside a header block: HEADERS has come, the frame with END_HEADERS has not (wholly)."""

    def is_exhausted(self) -> bool:
        return self._left < 0

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
        if kind == HEADERS:
            self.head_frame_open = not flags & END_HEADERS
        elif kind == DATA:
            if length == 0 and not flags & END_STREAM:
                self.charge()
        elif kind == CONTINUATION:
            self.charge(CONTINUATION_COST)
            self.head_frame_open = not flags & END_HEADERS
        elif kind != RST_STREAM:  # that one is judged by what it resets: see server_h2
            self.charge()

    def sent_data(self, sent: int, *, cut_by_window: bool) -> None:
        """We sent a DATA frame: credit for the WINDOW_UPDATEs it calls for, or dribble."""
        if cut_by_window and sent < TINY_BYTES:
            self.charge()
        else:
            self.credit(2.0)


def server_connection(limits: Limits) -> h2.connection.H2Connection:
    """An `h2` connection for the server's side, with our settings in its first frame."""
    # What we send is our own, lower-case and clean: checking it again costs a fifth of a small response.
    config = h2.config.H2Configuration(
        client_side=False,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    connection = h2.connection.H2Connection(config)
    codes = h2.settings.SettingCodes
    connection.local_settings = h2.settings.Settings(
        client=False,
        initial_values={
            codes.MAX_CONCURRENT_STREAMS: limits.streams,
            codes.MAX_HEADER_LIST_SIZE: limits.head_bytes,
            codes.ENABLE_CONNECT_PROTOCOL: 0,
        },
    )
    connection.initiate_connection()
    return connection


def send_goaway(
    connection: h2.connection.H2Connection, code: h2.errors.ErrorCodes, *, last_stream_id: int | None = None
) -> None:
    """Queue GOAWAY and let running streams go on (RFC 9113, section 6.8).

    `h2` closes its state machine at GOAWAY, sent or received, and then refuses to send or read what the streams
    still owe: its state is put back.
    """
    state = connection.state_machine.state
    connection.close_connection(code, last_stream_id=last_stream_id)
    connection.state_machine.state = state
