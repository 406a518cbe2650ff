"""The gateway's OpenAPI document: which routes there are, who may ask them what, and what they answer.

    routes       hot_routes, cold_routes    one line of a table each; a test compares them with the app and the hot door
    bodies       what is sent               the dialects' own structs, and what is taken out before those read
    answers      what comes back            structs of promises, held by tests that ask a running gateway
    schemas      structs as JSON Schema
    document     all of it as OpenAPI 3.1
    reference    the document as docs/api.md

Nothing of this is loaded before somebody asks for it.
"""

from hoosh.api.openapi.document import ROUTES, document, served
from hoosh.api.openapi.reference import page

__all__ = ["ROUTES", "document", "page", "served"]
