"""The frozen structs the house shares.  Tokens and money are integers; times are seconds, and say so."""

from hoosh.values.call import Call, CallKind
from hoosh.values.caller import ANONYMOUS, Caller
from hoosh.values.ids import new_request_id
from hoosh.values.record import Outcome, Record
from hoosh.values.secret import Secret
from hoosh.values.upstream import ModelCard, ProviderState
from hoosh.values.usage import Usage

__all__ = [
    "ANONYMOUS",
    "Call",
    "CallKind",
    "Caller",
    "ModelCard",
    "Outcome",
    "ProviderState",
    "Record",
    "Secret",
    "Usage",
    "new_request_id",
]
