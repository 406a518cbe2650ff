"""Who is well?"""

from hoosh.health.settings import Health

__all__ = ["Health"]
