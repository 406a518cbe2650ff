"""Nodes: online, suspect, offline, and back at once."""

from __future__ import annotations

import pytest

from hoosh.health import Heartbeats

AGES = (0, 29.9, 30, 89.9, 90, 1e6)


@pytest.mark.parametrize(("interval_s", "scale"), [(30.0, 1), (5.0, 1), (60.0, 2), (300.0, 10)], ids="{}".format)
def test_limits_are_the_references_and_grow_with_the_interval(interval_s: float, scale: int):
    beats = Heartbeats(interval_s)
    beats.asked("a")
    beats.heard_s["a"] = 100.0
    met = [beats.node("a", "a", 100.0 + age_s * scale).status for age_s in AGES]
    assert met == ["online", "online", "suspect", "suspect", "offline", "offline"]
    beats.heard_s["a"] = 1e9
    assert beats.node("a", "a", 1e9).status == "online"


def test_whom_nobody_probes_is_unknown_when_it_is_silent():
    beats = Heartbeats(0.0)
    assert beats.node("a", "a", 5.0).status == "unknown"
    beats.heard_s["a"] = 5.0
    assert [beats.node("a", "a", now_s).status for now_s in (6.0, 40.0, 400.0)] == ["online", "unknown", "unknown"]


def test_nobody_is_offline_for_a_silence_that_is_wanted():
    beats = Heartbeats(30.0)
    beats.asked("a")
    assert beats.node("a", "a", 500.0).status == "offline"
    beats.configure(0.0)
    assert beats.node("a", "a", 500.0).status == "unknown"


def test_who_was_asked_and_never_heard_of_is_offline_until_it_is():
    beats = Heartbeats(30.0)
    beats.asked("a#2")
    node = beats.node("a#2", "a", 5.0)
    assert (node.id, node.provider, node.status, node.age_s) == ("a#2", "a", "offline", None)
    beats.forget("a#2")
    assert beats.node("a#2", "a", 5.0).status == "unknown"
