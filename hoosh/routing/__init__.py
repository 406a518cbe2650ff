"""Who shall answer?"""

from hoosh.routing.table import Route, RouteTable, Target

__all__ = ["Route", "RouteTable", "Target"]
