# `just` lists what there is.  `pip install rust-just` gives just, where the system has none.

python := env("PYTHON", if path_exists(".venv/bin/python") == "true" { ".venv/bin/python" } else { "python3" })

# of what the recipes below do by chance; the tests have always the same
seed := env("HOOSH_SEED", "random")

# list the recipes
default:
    @just --list

# make a virtual environment in .venv with everything a developer uses
setup:
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --editable '.[dev,bench]'

# style, types, floors, and the tests that start no process
check:
    {{ python }} -m ruff check .
    {{ python }} -m ruff format --check .
    {{ python }} -m mypy
    {{ python }} -m pytest -q tests/test_floors.py
    {{ python }} -m pytest -q --ignore=tests/e2e

# all tests, or those named
test *ARGS:
    {{ python }} -m pytest {{ ARGS }}

# a hundred thousand hostile frames for every decoder and tap, and as hostile bodies; `HOOSH_SEED=n` repeats a run
fuzz:
    HOOSH_SEED={{ seed }} HOOSH_FRAMES=100000 {{ python }} -m pytest -n0 -q -s tests/dialects/test_fuzz.py tests/dialects/test_fuzz_bodies.py

# balance the books after 10 000 requests with every kind of trouble, and stop 100 times 200 endless streams: on 3 seeds,
# or `just sim 20`; `HOOSH_SEED=n just sim 1` repeats one.  `just sim --seeds 1000` plays so many hours of faults of
# upstreams, each of a seed by chance, and `just sim --seed n` tells one of them (docs/reliability.md)
sim *ARGS="3":
    {{ if ARGS =~ '^-' { "PYTHONPATH=.:tests/matrix " + python + " tests/sim/sim_faults_run.py " + ARGS } else { "HOOSH_SEED=" + seed + " HOOSH_REQUESTS=10000 HOOSH_SEEDS=" + ARGS + " HOOSH_HARD_STOPS=100 HOOSH_BYTE_STEP=1 " + python + " -m pytest -n0 -q -s tests/sim" } }}

# ten thousand requests aborted at random moments, in a real process, seeds printed
soak:
    HOOSH_SEED={{ seed }} HOOSH_ABORTED=10000 {{ python }} -m pytest -n0 -q -s tests/e2e/test_e2e_leaks.py -k aborted

# fifty gateways, and fifty stores, killed in the middle of load: whatever was answered is in the books; seeds printed
kills:
    HOOSH_SEED={{ seed }} HOOSH_KILLS=50 {{ python }} -m pytest -n0 -q -s tests/storage/test_storage_kills.py tests/e2e/test_e2e_books_kills.py

# measure hoosh beside other gateways (docs/benchmarks.md); `just bench --quick` only shows that everything runs
bench *ARGS:
    {{ python }} -m bench {{ ARGS }}

# check the documentation: links, examples, the index, the generated reference; its commands run before a real gateway.
# `just docs --write` makes the reference anew
docs *ARGS="--run":
    {{ python }} -m tools.docs {{ ARGS }}

# what continuous integration does, from a fresh virtual environment
ci:
    bash .ci/run

# run the gateway from this tree
serve *ARGS:
    {{ python }} -m hoosh serve {{ ARGS }}

# the page of every route, out of the OpenAPI document
api-docs:
    {{ python }} -m hoosh.api.openapi > docs/api.md

# ten thousand requests made from the OpenAPI document, against a running gateway; `HOOSH_SEED=n` repeats a run
api-cases:
    HOOSH_SEED={{ seed }} HOOSH_CASES=10000 {{ python }} -m pytest -n0 -q -s tests/openapi/test_openapi_cases.py

# today's prices out of the installed genai-prices (docs/costs.md)
prices *DAY:
    {{ python }} -m hoosh.catalogue.snapshot {{ DAY }}

# put the code into shape
fmt:
    {{ python }} -m ruff check --fix .
    {{ python }} -m ruff format .
