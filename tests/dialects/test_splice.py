"""Where a second answer joins the first: transcripts of what comes, and what of it is new to the client."""

from __future__ import annotations

import random

import pytest

from hoosh.dialects.splice import AfterPrefill, AfterRestart, DoesNotFit, Seam

LONG = "A sentence that is long enough to be known again. "
Heard = list[str]


def joined(seam: Seam, *texts: str) -> Heard:
    """What goes on to the client after each text and at the end; the last is `does not fit: …` where it does not."""
    out: Heard = []
    try:
        for text in texts:
            out.append(seam.feed(text))  # what came before a misfit counts
        out.append(seam.end())
    except DoesNotFit as why:
        out.append(f"does not fit: {why}")
    return out


REPEATED = "does not fit: it may have repeated what was said, or gone on with it"
OTHER = "does not fit: it says something else than what was sent already"
SHORT = "does not fit: it ends before what was sent already"

# said, what the model goes on with, what the client gets of it
PREFILLED = [
    # nothing that was said comes again
    ("Hello", [" world", "."], [" world", ".", ""]),
    ("Hello", [], [""]),
    # white space at the end was not sent: it may come again, whole, in pieces, in part, or not at all
    ("Hello ", [" world"], ["world", ""]),
    ("Hello ", ["world"], ["world", ""]),
    ("Hello\n\n", ["\n", "\n", "World"], ["", "", "World", ""]),
    ("Hello\n\n", ["\n\n\nWorld"], ["\nWorld", ""]),
    ("Hello\n\n", ["\n", "World"], ["", "World", ""]),
    ("Hello \n", ["\nWorld"], ["\nWorld", ""]),
    ("Hello\n\n", ["\n"], ["", ""]),
    # it begins like what was said, and then does not
    ("Hello", ["He", "Hel", "p"], ["", "HeHel", "p", ""]),
    ("Hello ", ["He"], ["", "He"]),
    # all of it comes again: long enough to be sure, or not
    (LONG, [LONG + "More."], ["More.", ""]),
    (LONG, [*LONG, "More."], [*([""] * len(LONG)), "More.", ""]),
    (LONG, [LONG.rstrip(), "More."], ["", "More.", ""]),
    (LONG, [LONG], ["", ""]),
    (LONG, [LONG, LONG, "More."], ["", LONG, "More.", ""]),
    ("Hello", ["Hello", " world"], [REPEATED]),
    ("ha" * 40, ["ha" * 40, "!"], [REPEATED]),
    ("-" * 40, ["-" * 40], [REPEATED]),
]
RESTARTED = [
    ("Hello", ["Hel", "lo", " world"], ["", "", " world", ""]),
    ("Hello", ["Hello world"], [" world", ""]),
    ("Hello", ["Hello"], ["", ""]),
    ("Hello", ["Hel", "p"], ["", OTHER]),
    ("Hello", ["Hell", "o world, hello"], ["", " world, hello", ""]),
    ("Hello", ["Hel"], ["", SHORT]),
    ("Hello", [], [SHORT]),
    ("Hello ", ["Hello", "world"], ["", OTHER]),
    ("", ["Hello"], ["Hello", ""]),
    ("", [], [""]),
    ("a🦉b", ["a", "🦉", "bc"], ["", "", "c", ""]),
]


@pytest.mark.parametrize(("said", "comes", "heard"), PREFILLED)
def test_what_a_model_goes_on_with(said: str, comes: Heard, heard: Heard):
    assert joined(AfterPrefill(said), *comes) == heard


@pytest.mark.parametrize(("said", "comes", "heard"), RESTARTED)
def test_what_a_model_says_from_the_beginning(said: str, comes: Heard, heard: Heard):
    assert joined(AfterRestart(said), *comes) == heard


def test_however_an_answer_is_cut_it_is_joined_whole_or_not_at_all():
    for seed in range(400):
        rng = random.Random(seed)
        words = ["so", " ", "\n", "so on", " and", "  ", "🦉", "."]
        text = "".join(rng.choices(words, k=rng.randrange(1, 24)))
        said = text[: rng.randrange(len(text) + 1)]
        for seam, whole in ((AfterPrefill(said), text[len(said.rstrip()) :]), (AfterRestart(said), text)):
            if isinstance(seam, AfterPrefill) and not said.strip():
                continue
            cuts = sorted(rng.choices(range(len(whole) + 1), k=rng.randrange(5)))
            pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
            heard = joined(seam, *pieces)
            assert heard[-1] == REPEATED or said + "".join(heard) == text, f"seed {seed}: {said!r}, {pieces!r}"
