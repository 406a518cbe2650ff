"""The documentation's own checker: `python -m tools.docs`, or `just docs`.

    links       every link and anchor of README.md, CHANGELOG.md and docs/ leads somewhere
    toml        every block of it is a configuration that hoosh loads
    python      every block compiles
    index       every page is reachable from docs/index.md
    reference   docs/reference_configuration.md is what the schema says; `--write` makes it so
    run         with `--run`: blocks that begin by asking the gateway, and those marked so, are executed before a real
                gateway on a free port

A mark is a comment in the line before a block: `<!-- docs: run -->`, `<!-- docs: skip WHY -->`.
"""
