"""The estimator learns: towards what a model does, after it when it changes, and not from nonsense."""

from __future__ import annotations

import timeit
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.budget import Estimator, ModelKey, Weight
from hoosh.budget.estimate import KEYS_MAX
from hoosh.values import Usage

KEY = ModelKey("openai", "m")
SEED = 20_26

measures = st.integers(0, 2**63)
weights = st.builds(Weight, measures, measures, measures, measures, st.booleans())


class Tokenizer:
    """A model that counts `bytes_per_token`, and words of its own around messages and tools."""

    def __init__(self, bytes_per_token: float, *, message: int = 5, tools: int = 0) -> None:
        self.bytes_per_token, self.message, self.tools = bytes_per_token, message, tools

    def count(self, weight: Weight) -> int:
        text = (weight.text_bytes + weight.tool_bytes) / self.bytes_per_token
        return round(text + weight.messages * self.message + weight.has_tools * self.tools + weight.fixed_tokens)


def some_weight(random: Random) -> Weight:
    tool_bytes = random.choice((0, 0, random.randint(200, 3000)))
    return Weight(random.randint(20, 8000), random.randint(1, 12), 0, tool_bytes, tool_bytes > 0)


def teach(estimator: Estimator, model: Tokenizer, reports: int, random: Random, key: ModelKey = KEY) -> None:
    for _ in range(reports):
        weight = some_weight(random)
        noise = random.uniform(0.95, 1.05)
        estimator.learn(key, weight, Usage(round(model.count(weight) * noise), 10), 0)


def usual_error(estimator: Estimator, model: Tokenizer, random: Random, key: ModelKey = KEY) -> float:
    """Nine prompts in ten are guessed better."""
    chosen = [some_weight(random) for _ in range(500)]
    errors = [abs(estimator.prompt_tokens(key, w) - model.count(w)) / max(100, model.count(w)) for w in chosen]
    return sorted(errors)[450]


# -- where it begins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "tokens"),
    [
        *(("openai", 27), ("groq", 27), ("openrouter", 27), ("anthropic", 29), ("ollama", 28), ("llamacpp", 28)),
        *(("localai", 28), ("google", 25), ("vllm", 25), ("of-a-plugin", 25)),
    ],
)
def test_it_begins_with_the_ratios_of_the_reference(provider: str, tokens: int):
    assert Estimator().text_tokens(ModelKey(provider, "m"), 100) == tokens


def test_a_prompt_of_the_reference_is_counted_as_there():
    assert Estimator().prompt_tokens(ModelKey("elsewhere", "m"), Weight(0, 0)) == 3
    assert Estimator().prompt_tokens(ModelKey("elsewhere", "m"), Weight(16 + 11, 2)) == 18


# -- learning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bytes_per_token", [2.0, 3.0, 3.8, 5.0, 7.0])
@pytest.mark.parametrize("tools", [0, 50, 500])
def test_a_tokenizer_is_learnt_in_ten_reports_and_better_in_a_hundred(bytes_per_token: float, tools: int):
    model, estimator, random = Tokenizer(bytes_per_token, tools=tools), Estimator(), Random(SEED)
    for reports, bound in ((10, 0.2), (20, 0.15), (70, 0.1)):
        teach(estimator, model, reports, random)
        assert usual_error(estimator, model, random) < bound


def test_the_first_few_reports_move_it_most():
    model, estimator, random = Tokenizer(3.0), Estimator(), Random(SEED)
    before = usual_error(estimator, model, Random(1))
    teach(estimator, model, 3, random)
    assert usual_error(estimator, model, Random(1)) < before / 2


@pytest.mark.parametrize(("old", "new"), [(4.0, 2.0), (2.0, 5.0), (3.5, 4.2)])
def test_it_follows_a_model_that_changes(old: float, new: float):
    estimator, random = Estimator(), Random(SEED)
    teach(estimator, Tokenizer(old), 500, random)
    teach(estimator, Tokenizer(new), 60, random)
    assert usual_error(estimator, Tokenizer(new), random) < 0.1


@pytest.mark.parametrize("factor", [0.001, 0.1, 10, 1000, 10**9])
def test_an_absurd_report_moves_little(factor: float):
    model, estimator, random = Tokenizer(3.8), Estimator(), Random(SEED)
    teach(estimator, model, 50, random)
    weight = Weight(4000, 3)
    before = estimator.prompt_tokens(KEY, weight)
    estimator.learn(KEY, weight, Usage(max(1, round(before * factor))), 0)
    assert estimator.prompt_tokens(KEY, weight) == pytest.approx(before, rel=0.05)


def test_one_absurd_report_in_ten_does_not_spoil_it():
    model, estimator, random = Tokenizer(3.0), Estimator(), Random(SEED)
    for _ in range(60):
        teach(estimator, model, 9, random)
        weight = some_weight(random)
        estimator.learn(KEY, weight, Usage(model.count(weight) * random.choice((10, 50))), 0)
    assert usual_error(estimator, model, random) < 0.1


@pytest.mark.parametrize("usage", [Usage(), Usage(0, 0), Usage(-5, -5), Usage(2**70, 2**70)])
def test_a_report_of_nothing_teaches_nothing(usage: Usage):
    estimator = Estimator()
    estimator.learn(KEY, Weight(100, 1), usage, 5)
    assert len(estimator) == 0


def test_the_price_of_an_image_is_learnt_apart():
    estimator, random = Estimator(), Random(SEED)
    for _ in range(40):
        images = random.randint(0, 3)
        weight = Weight(random.randint(20, 2000), 1, images * 1000)
        estimator.learn(KEY, weight, Usage(weight.text_bytes // 4 + images * 258 + 5), 0)
    assert estimator.prompt_tokens(KEY, Weight(400, 1, 2000)) == pytest.approx(621, rel=0.15)
    assert estimator.prompt_tokens(KEY, Weight(400, 1)) == pytest.approx(105, rel=0.15)


def test_a_new_model_begins_where_its_providers_others_are():
    model, estimator, random = Tokenizer(2.5, tools=300), Estimator(), Random(SEED)
    teach(estimator, model, 30, random)
    assert usual_error(estimator, model, random, ModelKey("openai", "other")) < 0.25
    assert usual_error(estimator, model, random, ModelKey("mistral", "other")) > 0.3


def test_models_of_one_vendor_teach_each_other_and_no_others():
    model, estimator, random = Tokenizer(2.5), Estimator(), Random(SEED)
    teach(estimator, model, 30, random, ModelKey("openrouter", "acme/large"))
    assert usual_error(estimator, model, random, ModelKey("openrouter", "acme/small")) < 0.25
    assert usual_error(estimator, model, random, ModelKey("openrouter", "other/small")) > 0.3


# -- pieces of a stream ----------------------------------------------------------------------------------------------


def test_a_piece_is_a_token_until_it_is_known_better():
    assert Estimator().reply_tokens(KEY, 7) == 7
    assert Estimator().chunks_within(KEY, 7) == 7


@pytest.mark.parametrize("per_piece", [1, 4, 30])
def test_what_a_piece_is_worth_is_learnt(per_piece: int):
    estimator = Estimator()
    for _ in range(40):
        estimator.learn(KEY, Weight(10, 1), Usage(10, 60 * per_piece), 60)
    assert estimator.reply_tokens(KEY, 100) == pytest.approx(100 * per_piece, rel=0.1)


def test_a_piece_is_never_worth_less_than_nine_tenths():
    estimator = Estimator()
    for _ in range(200):
        estimator.learn(KEY, Weight(10, 1), Usage(10, 1), 1000)
    assert estimator.reply_tokens(KEY, 1000) == 900
    assert estimator.chunks_within(KEY, 900) == 1000


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 2**63))
def test_the_pieces_that_tokens_allow_are_not_worth_more(tokens: int, chunks: int, allowed: int):
    estimator = Estimator()
    estimator.learn(KEY, Weight(10, 1), Usage(10, tokens), chunks)
    within = estimator.chunks_within(KEY, allowed)
    assert estimator.reply_tokens(KEY, within) <= allowed
    assert estimator.reply_tokens(KEY, within + 1) > allowed
    assert estimator.chunks_within(KEY, -allowed) == 0


# -- whatever comes --------------------------------------------------------------------------------------------------


@given(weights, st.lists(st.tuples(weights, st.integers(-5, 2**64), st.integers(-5, 2**64), st.integers(-5, 2**40))))
def test_no_report_breaks_it(asked: Weight, reports: list[tuple[Weight, int, int, int]]):
    estimator = Estimator()
    for weight, prompt, reply, chunks in reports:
        estimator.learn(KEY, weight, Usage(prompt, reply), chunks)
    tokens = estimator.prompt_tokens(KEY, asked)
    assert 1 <= tokens <= 2**40
    longer = Weight(asked.text_bytes * 2 + 1, asked.messages, asked.fixed_tokens, asked.tool_bytes, asked.has_tools)
    assert estimator.prompt_tokens(KEY, longer) >= tokens
    assert 0 <= estimator.text_tokens(KEY, asked.text_bytes) <= 2**40
    other = Estimator()
    other.restore(estimator.state())
    assert other.state() == estimator.state()


def test_the_keys_taught_least_lately_are_forgotten():
    estimator = Estimator()
    for number in range(KEYS_MAX + 100):
        estimator.learn(ModelKey("openai", f"m{number}"), Weight(100, 1), Usage(50), 0)
        estimator.learn(KEY, Weight(100, 1), Usage(50), 0)
    assert len(estimator) == KEYS_MAX
    kept = {row[1] for row in msgspec.msgpack.decode(estimator.state())[1]}
    assert {KEY.model, f"m{KEYS_MAX + 99}"} <= kept
    assert "m0" not in kept


def test_asking_takes_no_memory():
    estimator = Estimator()
    for number in range(50):
        estimator.prompt_tokens(ModelKey("openai", f"invented-{number}"), Weight(100, 1))
    assert len(estimator) == 0


# -- over a restart --------------------------------------------------------------------------------------------------


def test_what_was_learnt_survives_a_restart():
    model, estimator, random = Tokenizer(2.5), Estimator(), Random(SEED)
    teach(estimator, model, 30, random)
    estimator.learn(KEY, Weight(10, 1), Usage(10, 500), 50)
    again = Estimator()
    again.restore(estimator.state())
    assert again.state() == estimator.state()
    for each in (estimator, again):
        teach(each, model, 5, Random(7))
    assert again.state() == estimator.state()


GOOD = ["openai", "m", [0.3, 4.0, 0.2, 60.0, 3.0, 1.0], [0.01, 4.0, 0.01, 100.0, 16.0, 0.1], 1000, 3, 3]


def changed(at: int, value: object) -> list[object]:
    return [*GOOD[:at], value, *GOOD[at + 1 :]]


@pytest.mark.parametrize(
    "row",
    [
        changed(2, [0.3]),
        changed(2, [float("nan"), 4.0, 0.2, 60.0, 3.0, 1.0]),
        changed(2, [float("inf"), 4.0, 0.2, 60.0, 3.0, 1.0]),
        changed(2, [-0.3, 4.0, 0.2, 60.0, 3.0, 1.0]),
        changed(3, [1e300] * 6),
        changed(3, []),
        changed(4, 0),
        changed(4, 10**12),
        changed(5, -2),
        changed(6, -2),
    ],
)
def test_a_row_that_cannot_have_been_learnt_is_not_believed(row: list[object]):
    estimator = Estimator()
    estimator.restore(msgspec.msgpack.encode([1, [row, changed(1, "good")]]))
    assert [kept[1] for kept in msgspec.msgpack.decode(estimator.state())[1]] == ["good"]


@pytest.mark.parametrize(
    "state",
    [
        *(b"", b"\x00", b"not a state", b"\xc1", b"\x91" * 5000, b'{"version":1}'),
        msgspec.msgpack.encode([2, [GOOD]]),
        msgspec.msgpack.encode([1, [changed(1, 7)]]),
        msgspec.msgpack.encode([1, "rows"]),
        msgspec.msgpack.encode([1, [GOOD]])[:-1],
        msgspec.msgpack.encode([1, [changed(1, "mno")]]).replace(b"mno", b"\xff\xfe\xfd"),
    ],
)
def test_a_state_that_is_broken_or_of_another_version_changes_nothing(state: bytes):
    estimator = Estimator()
    estimator.learn(KEY, Weight(100, 1), Usage(50), 0)
    before = estimator.state()
    estimator.restore(state)
    assert estimator.state() == before


@given(st.binary(max_size=200))
def test_no_state_breaks_it(state: bytes):
    estimator = Estimator()
    estimator.restore(state)
    assert estimator.prompt_tokens(KEY, Weight(100, 1)) > 0


def test_how_fast_it_is(capsys: pytest.CaptureFixture[str]):
    estimator, weight, usage = Estimator(), Weight(900, 2), Usage(230, 50)
    for _ in range(100):
        estimator.learn(KEY, weight, usage, 50)
    figures = {
        "prompt_tokens": timeit.timeit(lambda: estimator.prompt_tokens(KEY, weight), number=1000),
        "learn": timeit.timeit(lambda: estimator.learn(KEY, weight, usage, 50), number=1000),
        "chunks_within": timeit.timeit(lambda: estimator.chunks_within(KEY, 500), number=1000),
    }
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {seconds * 1000:.1f} µs" for name, seconds in figures.items()))
