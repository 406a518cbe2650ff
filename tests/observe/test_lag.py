"""Event-loop lag."""

from __future__ import annotations

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from hoosh.observe.lag import LagWatch, LagWindow


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), max_size=50))
def test_the_window_agrees_with_looking_at_every_sample(steps: list[tuple[float, float]]) -> None:
    window, samples, now_s = LagWindow(60.0), list[tuple[float, float]](), 0.0
    for step_s, lag_s in steps:
        now_s += step_s
        window.add(lag_s, now_s=now_s)
        samples.append((now_s, lag_s))
        assert window.greatest(now_s=now_s) == max(lag for at, lag in samples if now_s - at <= 60.0)


def test_an_empty_window_has_no_lag() -> None:
    window = LagWindow(60.0)
    window.add(1.0, now_s=0.0)
    assert window.greatest(now_s=61.0) == 0.0


async def test_a_task_that_does_not_let_go_shows_as_lag(mock_clock: trio.testing.MockClock) -> None:
    watch = LagWatch()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert watch.statistics().last_s == 0.0
        mock_clock.jump(0.1 + 2.0)  # nobody else ran for two seconds
        await trio.testing.wait_all_tasks_blocked()
        assert round(watch.statistics().last_s, 6) == 2.0
        mock_clock.jump(0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert watch.statistics().last_s == 0.0
        assert round(watch.statistics().max_s, 6) == 2.0
        nursery.cancel_scope.cancel()
