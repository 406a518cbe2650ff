"""`just prices`: our file is what the library of the same version gives on the same day, byte for byte."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from hoosh.catalogue.prices import PRICES_FILE, PriceFile, load_prices
from hoosh.catalogue.snapshot import PROVIDERS, library_prices, main, write_down

genai_prices = pytest.importorskip("genai_prices")


@pytest.fixture(scope="module")
def is_same_version() -> None:
    if genai_prices.__version__ != load_prices().version:
        pytest.skip(f"prices.json is from genai-prices {load_prices().version}, not {genai_prices.__version__}")


@pytest.fixture(scope="module")
def file(is_same_version) -> PriceFile:
    return library_prices(date.fromisoformat(load_prices().as_of))


def test_the_file_is_generated_again_byte_for_byte(is_same_version, tmp_path, monkeypatch):
    monkeypatch.setattr("hoosh.catalogue.snapshot.PRICES_FILE", tmp_path / "prices.json")
    main([load_prices().as_of])
    assert (tmp_path / "prices.json").read_bytes() == PRICES_FILE.read_bytes()


def test_the_library_itself_can_be_asked_instead_of_the_file(is_same_version):
    library = load_prices("library")
    assert library.find("openai", "gpt-4o") == load_prices().find("openai", "gpt-4o")


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_plain_bill_is_what_the_library_says(kind, file):
    """Every model of the file, 1 000 tokens in and 100 out."""
    on = date.fromisoformat(file.as_of)
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=100)
    checked = 0
    for model in file.providers[kind]:
        name = model.names[0].removesuffix("*")
        ours = Decimal(1000 * model.input + 100 * model.output) / 10**12 + Decimal(model.request_micro_usd) / 10**6
        at_hours = [
            genai_prices.calc_price(
                *(usage, name),
                provider_id=PROVIDERS[kind],
                genai_request_timestamp=datetime(on.year, on.month, on.day, hour, 30, tzinfo=UTC),
            ).total_price
            for hour in ((0, 3, 7, 12, 18, 23) if kind == "deepseek" else (12,))
        ]
        assert ours == max(at_hours), name
        checked += 1
    assert checked > 4


def test_the_file_of_a_day_is_the_file_of_that_day():
    early, late = (write_down(library_prices(date(year, 1, 1))) for year in (2026, 2027))
    assert b'"as_of": "2026-01-01"' in early
    assert early != late
