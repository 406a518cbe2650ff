"""Who wants to know?  What has happened, numbered, kept for a while, and told to whoever listens."""

from hoosh.events.bus import Bus, BusStatistics, EventPage
from hoosh.events.delivery import Answer, Verdict, pause_s, verdict_on
from hoosh.events.event import Event, Lost, encode_event
from hoosh.events.news import (
    TOPICS,
    AuditEntry,
    BreakerChanged,
    GatewayStarted,
    GatewayStopping,
    HealthChanged,
    InferenceCompleted,
    InferenceFailed,
    News,
    PoolLow,
    PoolSpent,
    RateLimited,
    Reloaded,
    RequestFinished,
    RequestsCancelled,
)
from hoosh.events.pattern import topic_mistake, topics_like
from hoosh.events.settings import Events, Webhook
from hoosh.events.signing import Signer, secret_mistake
from hoosh.events.subscription import Subscription
from hoosh.events.told import news_of

__all__ = [
    "TOPICS",
    "Answer",
    "AuditEntry",
    "BreakerChanged",
    "Bus",
    "BusStatistics",
    "Event",
    "EventPage",
    "Events",
    "GatewayStarted",
    "GatewayStopping",
    "HealthChanged",
    "InferenceCompleted",
    "InferenceFailed",
    "Lost",
    "News",
    "PoolLow",
    "PoolSpent",
    "RateLimited",
    "Reloaded",
    "RequestFinished",
    "RequestsCancelled",
    "Signer",
    "Subscription",
    "Verdict",
    "Webhook",
    "encode_event",
    "news_of",
    "pause_s",
    "secret_mistake",
    "topic_mistake",
    "topics_like",
    "verdict_on",
]
