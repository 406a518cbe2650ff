"""What users read is right: links lead somewhere, examples load, commands run, generated pages are fresh."""

from __future__ import annotations

import pytest

from hoosh.catalogue import PROVIDER_TYPES
from hoosh.config import loads
from tools.docs.__main__ import mistakes, stale
from tools.docs.checks import Everything, is_to_run
from tools.docs.pages import Page, all_pages
from tools.docs.running import run_page

PAGES = all_pages()
RUNNING = [page for page in PAGES if any(map(is_to_run, page.blocks))]


def page(name: str) -> Page:
    return next(each for each in PAGES if each.path.name == name)


def test_there_is_nothing_to_complain_about():
    assert list(mistakes(PAGES)) == []


def test_the_generated_reference_is_what_the_schema_says():
    assert stale() == []


@pytest.mark.parametrize("running", RUNNING, ids=lambda page: page.path.stem)
def test_what_a_page_shows_runs(running: Page):
    assert list(run_page(running)) == []


def test_every_type_of_provider_has_a_configuration_of_its_own():
    configs = [loads(block.text, "hoosh.toml", Everything()) for block in page("howto_providers.md").blocks]
    assert {each.type for config in configs for each in config.providers} == set(PROVIDER_TYPES)
