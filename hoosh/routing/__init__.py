"""Who shall answer, and who instead of him?"""

from hoosh.routing.eligible import larger, within
from hoosh.routing.judge import Verdict, judge
from hoosh.routing.load import Load, Loads, LoadStatistics
from hoosh.routing.plan import Plan, Step
from hoosh.routing.retry import HedgeBudget, RetryBudget, backoff_s, wait_for
from hoosh.routing.settings import Retry, Routing, Strategy
from hoosh.routing.sticky import prefix_digest
from hoosh.routing.strategies import Chooser
from hoosh.routing.table import Route, RouteTable

__all__ = [
    "Chooser",
    "HedgeBudget",
    "Load",
    "LoadStatistics",
    "Loads",
    "Plan",
    "Retry",
    "RetryBudget",
    "Route",
    "RouteTable",
]
__all__ += ["Routing", "Step", "Strategy", "Verdict", "backoff_s", "judge", "larger", "prefix_digest", "wait_for"]
__all__ += ["within"]
