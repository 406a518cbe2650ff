"""The document names every route there is and no other, and is an OpenAPI document."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hoosh import __version__
from hoosh.api.inference import HOT_PATHS
from hoosh.api.openapi import ROUTES, document, page, served
from hoosh.api.serve import create_app
from hoosh.cli import main
from hoosh.config import Config, Storage
from hoosh.testing.house import memory_house

DOCUMENT = document(__version__)
DOCS = Path(__file__).parents[2] / "docs"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def unnamed(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_the_document_lacks_no_route_and_has_none_too_much():
    app = create_app(Config(storage=Storage(url="memory:")))
    there = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {("POST", path) for path in HOT_PATHS} <= there
    assert {(method.upper(), unnamed(path)) for method, path, _ in operations()} == there
    assert {(route.method, route.path) for route in ROUTES if route.hot} == {("POST", path) for path in HOT_PATHS}


def test_every_reference_leads_somewhere_and_every_component_is_used():
    text = json.dumps(DOCUMENT)
    for kind in ("schemas", "headers"):
        named = set(re.findall(rf'"#/components/{kind}/([^"]+)"', text))
        assert named == set(DOCUMENT["components"][kind])


def test_every_schema_is_a_schema_and_every_example_is_valid():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    count = 0
    for _, path, operation in operations():
        contents = [operation["responses"]["200"]["content"], operation.get("requestBody", {}).get("content", {})]
        for content in contents:
            for entry in content.values():
                Draft202012Validator.check_schema(entry["schema"])
                if "example" in entry:
                    count += 1
                    whole = {**entry["schema"], "components": DOCUMENT["components"]}
                    Draft202012Validator(whole).validate(entry["example"]), path
    assert count > 20


def test_operations_have_names_tags_and_the_parameters_of_their_paths():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for _, path, operation in operations():
        assert set(operation["tags"]) <= tags
        in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        assert {"400", "413", "503"} <= set(operation["responses"])
        assert ("401" in operation["responses"]) == (operation.get("security") != [])


def test_the_page_for_people_is_up_to_date():
    assert (DOCS / "api.md").read_text() == page(DOCUMENT), "run `just api-docs`"


def test_the_document_is_made_once_and_has_an_etag():
    body, etag = served(__version__)
    assert served(__version__)[0] is body
    assert json.loads(body) == DOCUMENT
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    assert served("another")[1] != etag


@pytest.mark.parametrize("flags", [[], ["--compact"]])
def test_the_command_prints_it(flags: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["openapi", *flags]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT


def test_nothing_of_it_is_loaded_with_the_app():
    code = "import sys, hoosh.api.app, hoosh.api.serve; assert not [n for n in sys.modules if 'api.openapi' in n]"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_copy_that_is_still_good_is_not_sent_again():
    async with memory_house(Config(storage=Storage(url="memory:"))) as house:
        status, headers, body = await house.get("/openapi.json")
        etag = headers.get(b"etag")
        assert (status, json.loads(body)) == (200, DOCUMENT)
        assert etag == served(__version__)[1].encode()
        for known in (etag, b'"other", ' + etag, b"*"):
            status, headers, body = await house.get("/openapi.json", headers=[(b"if-none-match", known)])
            assert (status, body, headers.get(b"etag")) == (304, b"", etag)
        status, _, body = await house.get("/openapi.json", headers=[(b"if-none-match", b'"other"')])
        assert (status, json.loads(body)) == (200, DOCUMENT)
