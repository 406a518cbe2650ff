"""The bus: events are numbered, the last ones are kept, and each listener gets those that it has asked for.

    publish, tell ──▶ number, time ──▶ ring of the last `keep`
                                        └──▶ each listener of its topic (`subscription.py`)

Publishing never waits and never fails.  A listener can begin behind an event that it knows: replay and the first live
event are one step, so that nothing is missing between them and nothing comes twice.

Numbers begin at the clock's microsecond, so that those of a later process are above those of an earlier one, and a
listener that comes back after a restart is told that it has missed something, not that nothing has happened.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from hoosh.errors import InvalidRequest, Unavailable
from hoosh.events.event import Event, Lost
from hoosh.events.news import TOPICS, InferenceCompleted, News, RequestFinished
from hoosh.events.pattern import topics_like
from hoosh.events.settings import Events
from hoosh.events.subscription import Subscription
from hoosh.events.told import Answered, is_plain, news_of
from hoosh.values import Record

__all__ = ["Bus", "BusStatistics", "EventPage"]

RETRY_S = 10.0
MICRO = 1_000_000


class EventPage(Struct, frozen=True):
    """Some of the events that are kept, oldest first."""

    events: Sequence[Event]
    lost: Lost | None
    """What is missing between the event asked for and the first that is kept."""
    last_id: int
    """Of the last event of all: nothing has happened since, or what has is of no interest."""


class BusStatistics(Struct, frozen=True):
    """`published` by topic, `lost` by listeners together: both since the start."""

    published: Mapping[str, int]
    listeners: int
    guests: int
    lost: int
    kept: int


class Bus:
    """For one thread, the event loop's.  `wall_s` is Unix time."""

    def __init__(self, settings: Events, *, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self._born = self._last_id = int(wall_s() * MICRO)
        """The number before the first."""
        self._ring: deque[Event | Answered] = deque()
        self._kept = 0
        """Events in it."""
        self._by_topic: dict[str, list[Subscription]] = {topic: [] for topic in TOPICS}
        self._of_answers = self._by_topic[InferenceCompleted.topic]
        self._of_ends = self._by_topic[RequestFinished.topic]
        self._published = dict.fromkeys(TOPICS, 0)
        self._answered = 0
        """Published as `Answered`."""
        self._listeners: set[Subscription] = set()
        self._guests: set[Subscription] = set()
        self._lost = 0
        self._is_closed = self._is_closing = False
        self._settings = settings

    def configure(self, settings: Events) -> None:
        """From now on these hold.  Listeners keep the buffer they have."""
        self._settings = settings
        self._trim()

    @property
    def enabled(self) -> bool:
        return self._settings.enabled

    @property
    def last_id(self) -> int:
        return self._last_id

    # -- publishers ------------------------------------------------------------------------------------------------

    def publish(self, news: News) -> None:
        """It has happened now.  Never waits."""
        if not self._settings.enabled:
            return
        topic = news.topic
        self._last_id = number = self._last_id + 1
        event = Event(number, self._wall_s(), news)
        self._ring.append(event)
        self._kept += 1
        self._published[topic] += 1
        for listener in self._by_topic[topic]:
            self._lost += listener.put(event)
        self._trim()

    def tell(self, record: Record) -> None:
        """A request is over.  Never waits: 1.2 µs where nobody listens, a few more where somebody does."""
        if not self._settings.enabled:
            return
        if self._of_ends or self._of_answers or not is_plain(record):
            for news in news_of(record):
                self.publish(news)
            return
        self._last_id = number = self._last_id + 2
        self._ring.append(Answered(number, self._wall_s(), record))
        self._kept += 2
        self._answered += 1
        if self._kept > self._settings.keep:
            self._trim()

    def _trim(self) -> None:
        """What is too much is forgotten; of two events that are one yet, both."""
        while self._kept > self._settings.keep:
            self._kept -= 2 if type(self._ring.popleft()) is Answered else 1

    # -- listeners -------------------------------------------------------------------------------------------------

    def subscribe(
        self, *patterns: str, after: int | None = None, buffer: int | None = None, is_guest: bool = False
    ) -> Subscription:
        """Listen to the topics that `patterns` mean, all where none is given; see `pattern.py`.

        `after` is the number of the last event that is known: what has happened since, and is kept, comes first.
        `buffer` is how many may wait.  A guest is a client of the gateway: their number is limited, and they leave when
        it is closing, not when it is closed.  Raises InvalidRequest, and Unavailable where there is no room.
        """
        topics = _topics(patterns)
        if is_guest:
            self.require_seat()
        behind = [] if after is None else [event for event in self._behind(after) if event.topic in topics]
        listener = Subscription(topics, buffer or self._settings.buffer, self._leave, behind)
        missing = None if after is None else self._missing(after)
        if missing is not None:
            listener.tell_lost(missing)
        if self._is_closed:
            listener.end()
            return listener
        self._listeners.add(listener)
        if is_guest:
            self._guests.add(listener)
        for topic in topics:
            self._by_topic[topic].append(listener)
        return listener

    def require_topics(self, patterns: Sequence[str]) -> None:
        """Raises InvalidRequest where one of them means nothing."""
        _topics(patterns)

    def require_seat(self) -> None:
        """Raises Unavailable where no guest can be taken."""
        if self._is_closing or self._is_closed:
            raise Unavailable("The gateway is shutting down.", retry_after_s=1.0)
        if len(self._guests) >= self._settings.max_listeners:
            message = f"{len(self._guests)} listen already, and no more may."
            raise Unavailable(message, retry_after_s=RETRY_S, code="too_many_listeners")

    def _leave(self, listener: Subscription) -> None:
        if listener in self._listeners:
            self._listeners.discard(listener)
            self._guests.discard(listener)
            for topic in listener.topics:
                self._by_topic[topic].remove(listener)

    # -- what is kept ----------------------------------------------------------------------------------------------

    def recent(self, *patterns: str, after: int | None = None, limit: int = 100) -> EventPage:
        """Those behind `after`, the oldest `limit` of them; without it the last `limit`.  Raises InvalidRequest."""
        topics = _topics(patterns)
        kept = self._events() if after is None else self._behind(after)
        found = [event for event in kept if event.topic in topics]
        found = found[-limit:] if after is None else found[:limit]
        return EventPage(found, None if after is None else self._missing(after), self._last_id)

    def _events(self) -> Iterator[Event]:
        """All that are kept, oldest first."""
        for kept in self._ring:
            if isinstance(kept, Answered):
                yield from kept.events()
            else:
                yield kept

    def _behind(self, after: int) -> Iterator[Event]:
        """What is kept behind `after`: all, where that is a number we do not know."""
        known = self._born <= after <= self._last_id
        return (event for event in self._events() if event.id > after or not known)

    def _missing(self, after: int) -> Lost | None:
        """What has happened behind `after` and is not kept, of whatever topic."""
        first_kept = self._first_kept()
        if after > self._last_id:  # of a time to come: the clock was set back before this start
            return Lost(None, None, first_kept - 1)
        if after < self._born:
            return Lost(None, after + 1, first_kept - 1)
        missing = first_kept - after - 1
        return Lost(missing, after + 1, first_kept - 1) if missing > 0 else None

    def _first_kept(self) -> int:
        """Its number, or the next number where nothing is kept."""
        return self._last_id + 1 - self._kept

    # -- the end ---------------------------------------------------------------------------------------------------

    def begin_closing(self) -> None:
        """Guests hear what waits for them, and leave; others stay."""
        self._is_closing = True
        for guest in self._guests:
            guest.end()

    def close(self) -> None:
        """All listeners hear what waits for them, and leave."""
        self._is_closing = self._is_closed = True
        for listener in self._listeners:
            listener.end()

    def statistics(self) -> BusStatistics:
        published = dict(self._published)
        for kind in (InferenceCompleted, RequestFinished):
            published[kind.topic] += self._answered
        return BusStatistics(published, len(self._listeners), len(self._guests), self._lost, self._kept)


def _topics(patterns: Sequence[str]) -> frozenset[str]:
    try:
        return topics_like(patterns)
    except ValueError as error:
        raise InvalidRequest(f"Invalid 'topic': it {error}.", param="topic", code="invalid_value") from None
