"""The document as a page for people: docs/api.md."""

from __future__ import annotations

from typing import Any

__all__ = ["page"]

HEAD = """# The API

Every route of the gateway, from its own OpenAPI document. The document itself is at `GET /openapi.json`, and
`hoosh-trio openapi` prints it without a gateway. This page is written by `just api-docs`; do not edit it.

{about}

`4XX` stands for what a provider says of the request itself, which is passed on.
"""


def page(document: dict[str, Any]) -> str:
    parts = [HEAD.format(about=document["info"]["description"])]
    for tag in document["tags"]:
        parts.append(f"## {tag['name']}\n\n{tag['description']}\n")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [tag["name"]]:
                    parts.append(_route(method.upper(), path, operation))
    parts.append(_headers(document["components"]["headers"]))
    return "\n".join(parts)


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"### `{method} {path}`", "", operation["summary"], "", *_facts(operation)]
    if parameters := operation.get("parameters"):
        lines += ["", "| parameter | in | |", "| --- | --- | --- |"]
        lines += [f"| `{p['name']}` | {p['in']} | {p['description']}{_words(p['schema'])} |" for p in parameters]
    return "\n".join([*lines, ""])


def _facts(operation: dict[str, Any]) -> list[str]:
    facts = [f"* Key: {_key(operation)}"]
    if body := operation.get("requestBody"):
        facts.append(f"* Body: {_types(body['content'])}{'' if body['required'] else '; may be left out'}")
    answers = operation["responses"]["200"]["content"]
    facts.append(f"* Answer: {_types(answers)}")
    facts.append("* Statuses: " + ", ".join(operation["responses"]))
    return facts


def _key(operation: dict[str, Any]) -> str:
    if "x-hoosh-scope" in operation:
        return f"with the scope `{operation['x-hoosh-scope']}`"
    return "none" if operation.get("security") == [] else "any"


def _types(content: dict[str, Any]) -> str:
    return ", ".join(f"`{media_type}`{_name(entry['schema'])}" for media_type, entry in content.items())


def _name(schema: dict[str, Any]) -> str:
    """The struct that a schema names, if it names one."""
    for inner in (schema, *schema.get("allOf", ())):
        if "$ref" in inner:
            return f" ({inner['$ref'].rpartition('/')[2]})"
    return ""


def _words(schema: dict[str, Any]) -> str:
    words = ", ".join(f"`{word}`" for word in schema.get("enum", ()))
    return f" One of {words}." if len(schema.get("enum", ())) > 1 else ""


def _headers(headers: dict[str, Any]) -> str:
    lines = ["## Headers of answers", "", "| | |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | {said['description']} |" for name, said in headers.items()), ""])
