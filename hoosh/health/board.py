"""The board: who may be asked, by what real requests and probes have said.

    wait_s(target) ── 0.0 ──▶ begin(target) ──▶ well | ill | left        each attempt, exactly one of the three
         └─ > 0: another candidate, or 503 with so long a retry-after

Two charts may be in an attempt's way: its account's (no connection, a refused key, a used-up quota) and its account
and model's (everything else): a model that fails takes no other with it.  A chart is made at the first bad sign and
thrown away when it is clean again, so a healthy house has none: it `is_quiet`, and a request asks nothing else.

What a probe proves is little.  A model list that answers shows that the account can be reached with its key, not that
a model works or that the quota is there.  One that is refused shows nothing: some keys may chat and not list.

Changes are told as they happen, in the same call.  An opening that has passed is half-open for everybody who asks,
but is told only when a trial begins.

Pure.  `now_s` is a monotonic clock, `began_s` the same when the attempt began (`begin`).  Contract: S01, S02, S15 of
faults.md; reference sections 9 and 10.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from hoosh.errors import HooshError, UpstreamError
from hoosh.health.chart import Chart
from hoosh.health.diagnosis import OF_THE_ACCOUNT, Ailment, diagnose, word_of
from hoosh.health.heartbeat import Heartbeats
from hoosh.health.news import Change, Condition
from hoosh.health.settings import Health
from hoosh.values import Target

__all__ = ["ACCOUNT", "CHARTS_MAX", "Board"]

ACCOUNT = "*"
"""In the place of a model: the whole account."""
CHARTS_MAX = 1024
"""Of accounts and models: clients may ask for any model's name."""
SWEEP_S = 1.0
NO_CHARTS: Sequence[tuple[str, Chart]] = ()

LISTS_PROVE = frozenset({Ailment.UNREACHABLE, Ailment.DENIED, Ailment.FAILED, Ailment.BUSY})
"""What a model list that answers shows to be over."""
LISTS_HIDE = frozenset({Ailment.DENIED, Ailment.SPENT})
"""A key may be good for chats and not for lists (OpenAI's restricted ones), so these say nothing where a list is
refused: not even that it is silent."""
PROBES_KNOW = frozenset({Ailment.UNREACHABLE, Ailment.FAILED, Ailment.BUSY})
"""What a probe can hold against an account."""


class _Account:
    """What is known of one account beside its charts."""

    __slots__ = ("chart", "checked_s", "failures", "is_told_ill", "refused", "word")

    def __init__(self) -> None:
        self.chart: Chart | None = None
        self.failures = 0
        """In a row, over all its models and probes."""
        self.word: str | None = None
        """Why it failed last."""
        self.refused: str | None = None
        """Why its last probe was refused; that is not held against it."""
        self.checked_s: float | None = None
        self.is_told_ill = False


class Board:
    """The health of all accounts.  `is_quiet`: nothing is held against anybody, so nobody need be asked about."""

    __slots__ = (
        "_accounts",
        "_chance",
        "_heard_s",
        "_models",
        "_on_change",
        "_settings",
        "_sweep_s",
        "heartbeats",
        "is_quiet",
    )

    def __init__(self, settings: Health, *, on_change: Callable[[Change], None], chance: random.Random) -> None:
        self._settings = settings
        self._on_change = on_change
        self._chance = chance
        self._accounts: dict[str, _Account] = {}
        self._models: dict[Target, Chart] = {}
        self._sweep_s = float("-inf")
        self.heartbeats = Heartbeats(settings.interval_secs)
        self._heard_s = self.heartbeats.heard_s  # once a request: a call saved
        self.is_quiet = True

    def configure(self, settings: Health) -> None:
        """What is held against anybody from now on is measured by these; what is already is not."""
        self._settings = settings
        self.heartbeats.configure(settings.interval_secs)

    # -- requests ------------------------------------------------------------------------------------------------

    def wait_s(self, target: Target, now_s: float) -> float:
        """0.0: it may be asked now; else how many seconds until it may, as far as anybody knows."""
        if self.is_quiet:
            return 0.0
        if now_s >= self._sweep_s:
            self._sweep(now_s)
        account, chart = self._accounts.get(target.provider), self._models.get(target)
        wait_s = 0.0 if chart is None else chart.wait_s(now_s)
        if account is not None and account.chart is not None:
            wait_s = max(wait_s, account.chart.wait_s(now_s))
        return wait_s

    def is_well(self, target: Target) -> bool:
        """Nothing is held against it."""
        return not self._in_the_way(target)

    def is_limited(self, target: Target, now_s: float) -> bool:
        """It is only asked too often: what has to be waited for is the time that it has named."""
        return all(chart.breaker.wait_s(now_s) <= 0 for _, chart in self._in_the_way(target))

    def begin(self, target: Target, now_s: float) -> None:
        """An attempt begins; where half-open it is a trial."""
        if self.is_quiet:
            return
        for model, chart in self._in_the_way(target):
            chart.breaker.begin(now_s)
            self._tell(target.provider, model, chart, "trial", now_s)

    def well(self, target: Target, began_s: float, now_s: float) -> None:
        """The attempt that began then has succeeded."""
        self._heard_s[target.provider] = now_s
        if self.is_quiet:
            return
        for model, chart in self._in_the_way(target):
            chart.well(began_s, now_s)
            self._tell(target.provider, model, chart, "answered", now_s)
        account = self._accounts.get(target.provider)
        if account is not None and (account.failures or account.is_told_ill):
            account.failures, account.word = 0, None
            self._tell_health(target.provider, account, "answered", now_s)
        if now_s >= self._sweep_s:
            self._sweep(now_s)

    def ill(self, target: Target, error: HooshError, began_s: float, now_s: float) -> None:
        """The attempt that began then has failed."""
        ailment = diagnose(error)
        is_answer = isinstance(error, UpstreamError) and error.status is not None
        if is_answer:
            self._heard_s[target.provider] = now_s  # whatever it says, it is there
        if ailment is Ailment.NONE and (self.is_quiet or not is_answer):
            self.left(target, began_s, now_s)
            return
        self.is_quiet = False
        account, chart = self._account(target.provider), self._models.get(target)
        if ailment in OF_THE_ACCOUNT:
            self._condemn(target.provider, account, ailment, error, began_s, now_s)
        else:
            self._reached(target.provider, account, began_s, now_s)
        if ailment is Ailment.NONE or ailment in OF_THE_ACCOUNT:
            if chart is not None:
                chart.breaker.left(began_s, now_s)
        else:
            chart = chart or self._new_chart(target, now_s)
            chart.ill(ailment, error, began_s, now_s)
            self._tell(target.provider, target.model, chart, word_of(error), now_s)
        if ailment not in (Ailment.NONE, Ailment.LIMITED):
            account.failures += 1
            account.word = word_of(error)
        self._tell_health(target.provider, account, word_of(error), now_s)

    def left(self, target: Target, began_s: float, now_s: float) -> None:
        """The attempt that began then has ended without a verdict."""
        if not self.is_quiet:
            for _, chart in self._in_the_way(target):
                chart.breaker.left(began_s, now_s)

    # -- probes --------------------------------------------------------------------------------------------------

    def probed(self, provider: str, error: HooshError | None, now_s: float) -> None:
        """A probe of the account has ended: None, it has answered."""
        account = self._account(provider)
        account.checked_s = now_s
        ailment = Ailment.NONE if error is None else diagnose(error)
        account.refused = word_of(error) if error is not None and ailment in LISTS_HIDE else None
        if account.refused is None:
            self.heartbeats.asked(provider)
            if error is not None and ailment in PROBES_KNOW:
                self._hold_against(provider, account, ailment, error, now_s)
            else:
                self._heard_s[provider] = now_s
        if error is None:
            self._vouch(provider, account, now_s)
        if not self.is_quiet and now_s >= self._sweep_s:
            self._sweep(now_s)

    def _vouch(self, provider: str, account: _Account, now_s: float) -> None:
        """The model list has answered."""
        chart = account.chart
        if chart is not None and chart.ailment in LISTS_PROVE:
            chart.breaker.close(now_s)
            self._tell(provider, ACCOUNT, chart, "probe", now_s)
        if not any(self._openings(provider, now_s)):
            account.failures, account.word = 0, None
            self._tell_health(provider, account, "probe", now_s)

    def _hold_against(
        self, provider: str, account: _Account, ailment: Ailment, error: HooshError, now_s: float
    ) -> None:
        """A trial decides whether the breaker closes.  But where no connection is made there need not be one."""
        self.is_quiet = False
        if ailment is Ailment.UNREACHABLE or account.chart is None or account.chart.breaker.is_closed:
            self._condemn(provider, account, ailment, error, now_s, now_s)
            account.failures += 1
            account.word = word_of(error)
            self._tell_health(provider, account, account.word, now_s)

    # -- pages ---------------------------------------------------------------------------------------------------

    def state(self, provider: str, now_s: float) -> Condition:
        """How the account is doing."""
        if not self.is_quiet:
            self._sweep(now_s)
        account = self._accounts.get(provider) or _Account()
        status = "healthy" if provider in self._heard_s else "unknown"
        return Condition(
            "unhealthy" if self._is_ill(account) else status,
            account.failures,
            account.word or account.refused,
            dict(self._openings(provider, now_s)),
            None if account.checked_s is None else max(0.0, now_s - account.checked_s),
        )

    def forget(self, provider: str) -> None:
        """It has left the fleet.  Nothing is told of its breakers any more."""
        self._accounts.pop(provider, None)
        self._models = {target: chart for target, chart in self._models.items() if target.provider != provider}
        self.heartbeats.forget(provider)

    # -- charts --------------------------------------------------------------------------------------------------

    def _account(self, provider: str) -> _Account:
        account = self._accounts.get(provider)
        if account is None:
            account = self._accounts[provider] = _Account()
        return account

    def _in_the_way(self, target: Target) -> Sequence[tuple[str, Chart]]:
        """The charts that an attempt at `target` has to do with."""
        account, chart = self._accounts.get(target.provider), self._models.get(target)
        if account is None or account.chart is None:
            return NO_CHARTS if chart is None else ((target.model, chart),)
        of_account = (ACCOUNT, account.chart)
        return (of_account,) if chart is None else (of_account, (target.model, chart))

    def _openings(self, provider: str, now_s: float) -> Iterator[tuple[str, str]]:
        account = self._accounts.get(provider)
        if account is not None and account.chart is not None and not account.chart.breaker.is_closed:
            yield ACCOUNT, account.chart.breaker.state(now_s).value
        for target, chart in self._models.items():
            if target.provider == provider and not chart.breaker.is_closed:
                yield target.model, chart.breaker.state(now_s).value

    def _condemn(
        self, provider: str, account: _Account, ailment: Ailment, error: HooshError, began_s: float, now_s: float
    ) -> None:
        if account.chart is None:
            account.chart = Chart(self._settings, self._chance)
        account.chart.ill(ailment, error, began_s, now_s)
        self._tell(provider, ACCOUNT, account.chart, word_of(error), now_s)

    def _reached(self, provider: str, account: _Account, began_s: float, now_s: float) -> None:
        """One of its models has answered, if only with an error: that is all that this says of the account."""
        chart = account.chart
        if chart is None:
            return
        if chart.ailment in PROBES_KNOW:
            chart.well(began_s, now_s)
            self._tell(provider, ACCOUNT, chart, "answered", now_s)
        else:
            chart.breaker.left(began_s, now_s)

    def _new_chart(self, target: Target, now_s: float) -> Chart:
        if len(self._models) >= CHARTS_MAX:
            self._make_room(now_s)
        chart = self._models[target] = Chart(self._settings, self._chance)
        return chart

    def _make_room(self, now_s: float) -> None:
        """Drop what is clean, else the oldest that is closed, else the oldest."""
        self._sweep(now_s)
        if len(self._models) >= CHARTS_MAX:
            closed = (target for target, chart in self._models.items() if chart.breaker.is_closed)
            self._drop(next(closed, None) or next(iter(self._models)), now_s)

    def _drop(self, target: Target, now_s: float) -> None:
        chart = self._models.pop(target)
        chart.breaker.close(now_s)
        self._tell(target.provider, target.model, chart, "expired", now_s)

    def _sweep(self, now_s: float) -> None:
        """Throw away what is clean.  Where no chart of an account is left, its failures are forgotten with them."""
        self._sweep_s = now_s + SWEEP_S
        for target in [target for target, chart in self._models.items() if chart.is_clean(now_s)]:
            del self._models[target]
        charted = {target.provider for target in self._models}
        for provider, account in self._accounts.items():
            if account.chart is not None and account.chart.is_clean(now_s):
                account.chart = None
            if account.chart is not None:
                charted.add(provider)
            elif (account.failures or account.is_told_ill) and provider not in charted:
                account.failures, account.word = 0, None
                self._tell_health(provider, account, "expired", now_s)
        self.is_quiet = not charted

    # -- news ----------------------------------------------------------------------------------------------------

    def _is_ill(self, account: _Account) -> bool:
        is_shut = account.chart is not None and not account.chart.breaker.is_closed
        return is_shut or account.failures >= self._settings.failure_threshold

    def _tell(self, provider: str, model: str, chart: Chart, reason: str, now_s: float) -> None:
        state = chart.breaker.state(now_s)
        if state is not chart.told:
            before, chart.told = chart.told, state
            self._on_change(Change(provider, model, before.value, state.value, reason, now_s))

    def _tell_health(self, provider: str, account: _Account, reason: str, now_s: float) -> None:
        is_ill = self._is_ill(account)
        if is_ill is not account.is_told_ill:
            account.is_told_ill = is_ill
            before, after = ("healthy", "unhealthy") if is_ill else ("unhealthy", "healthy")
            self._on_change(Change(provider, None, before, after, reason, now_s))
