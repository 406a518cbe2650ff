"""What /proc says, and the two upstreams that watch the gateway."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from bench.disconnects import Http1Client
from bench.machine import busy_ticks, connecting_inodes, divide_cores, free_port, group_and_ticks, vm_rss_kib
from bench.watched import EVENTS_AT_ONCE, WatchedUpstream, jammed

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and the backlog are Linux's")

STAT = "4711 (a (strange) name) S 1 4700 4700 0 -1 4194304 100 0 0 0 250 50 7 8 20 0 3 0 100 1000 200"


def test_the_group_and_ticks_of_a_process_are_found_behind_any_name() -> None:
    assert group_and_ticks(STAT) == (4700, 300)


def test_a_core_is_busy_when_it_is_neither_idle_nor_waits_for_a_disk() -> None:
    stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 900 800 4 5 6 0 0\ncpu10 7 7 7 7 7 7 7 7 0 0\nintr 5\n"
    assert busy_ticks(stat, 1) == 21
    assert busy_ticks(stat, 3) == 0


def test_resident_memory_is_read_from_the_status() -> None:
    assert vm_rss_kib("Name:\tx\nVmPeak:\t  900 kB\nVmRSS:\t  123 kB\n") == 123
    assert vm_rss_kib("Name:\tzombie\n") == 0


def test_sockets_that_wait_for_an_answer_to_their_syn_are_found_by_port() -> None:
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C40 0100007F:232B 02 00000000:00000000 01:00000013 00000000     0        0 111 2 0000 200 0 0 1 7
   1: 0100007F:9C41 0100007F:232B 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0000 20 4 30 10 -1
   2: 0100007F:9C42 0100007F:232C 02 00000000:00000000 01:00000013 00000000     0        0 333 2 0000 200 0 0 1 7
"""
    assert connecting_inodes(table, 9003) == {111}


def test_the_gateway_has_a_core_of_its_own_where_there_are_two() -> None:
    assert divide_cores(frozenset({2, 3, 5})).gateway == {2}
    assert divide_cores(frozenset({2, 3, 5})).load == {3, 5}
    assert not divide_cores(frozenset({0})).pinned


@pytest.mark.parametrize("way", Http1Client.ways)
@pytest.mark.parametrize("streamed", [True, False], ids=["streaming", "waiting"])
def test_the_watched_upstream_notices_who_leaves(way: str, streamed: bool) -> None:
    port = free_port()
    with WatchedUpstream(port) as upstream:
        client = Http1Client(port)
        client.send(streamed=streamed)
        arrived_ns = upstream.arrivals.get(timeout=5)
        if streamed:
            client.read_events(EVENTS_AT_ONCE)
        left_ns = client.leave(way)
        noticed_ns = upstream.departures.get(timeout=5)
    assert arrived_ns <= left_ns <= noticed_ns


@linux
def test_nobody_gets_through_to_a_jammed_port() -> None:
    port = free_port()
    with jammed(port), socket.socket() as caller:
        caller.setblocking(False)
        caller.connect_ex(("127.0.0.1", port))
        waiting = connecting_inodes(Path("/proc/net/tcp").read_text(), port)
        assert os.fstat(caller.fileno()).st_ino in waiting
