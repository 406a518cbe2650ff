"""What happened, provably?"""

from hoosh.audit.settings import Audit

__all__ = ["Audit"]
