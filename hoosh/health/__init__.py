"""Who is well?"""

from hoosh.health.board import ACCOUNT, Board
from hoosh.health.breaker import Breaker, BreakerState
from hoosh.health.diagnosis import Ailment, diagnose, word_of
from hoosh.health.heartbeat import Heartbeats
from hoosh.health.news import Change, Condition
from hoosh.health.settings import Health
from hoosh.health.supervisor import Probed, Supervisor

__all__ = [
    "ACCOUNT",
    "Ailment",
    "Board",
    "Breaker",
    "BreakerState",
    "Change",
    "Condition",
    "Health",
    "Heartbeats",
    "Probed",
    "Supervisor",
    "diagnose",
    "word_of",
]
