"""What a stack tells: types and places always, a text only where it is made to be shown."""

from __future__ import annotations

import socket
import ssl

import pytest

from hoosh.errors import ConnectFailed, HooshError, UpstreamBroke, UpstreamError
from hoosh.values import stack_of, words_of
from hoosh.values.stack import STACK_CHARS

SECRET = "sk-in-a-bug-7716ab90"


class OddlyNamedError(OSError):
    """Of somebody's who puts a text where the number stands."""


class PluginError(UpstreamBroke):
    """Of a plugin, which may say in it what it likes."""


def bug(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError(SECRET), "KeyError"),
        (UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET), "UnicodeDecodeError"),
        (FileNotFoundError(2, SECRET, f"/{SECRET}"), "FileNotFoundError: ENOENT, No such file or directory"),
        (OSError(SECRET), "OSError"),
        (OddlyNamedError(2, SECRET), f"{__name__}.OddlyNamedError"),
        (ssl.SSLError(1, SECRET), "ssl.SSLError"),
        (socket.gaierror(1, SECRET), "socket.gaierror"),
        (ConnectFailed("name does not resolve"), "hoosh.errors.ConnectFailed: name does not resolve"),
        (UpstreamError(SECRET, provider="a", status=400), "hoosh.errors.UpstreamError"),
        (PluginError(SECRET, provider="a"), f"{__name__}.PluginError"),
        (ExceptionGroup(SECRET, [KeyError(SECRET), OSError(SECRET)]), "ExceptionGroup: 2 inside"),
    ],
)
def test_words_of_an_error_are_its_type_and_what_is_safe(error: BaseException, words: str):
    assert words_of(error) == words


def test_a_stack_names_the_places_and_the_chain_with_the_first_cause_first():
    def inner() -> None:
        raise KeyError(SECRET)

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            error.add_note(SECRET)
            raise HooshError("ours") from error

    stack = stack_of(bug_in(outer))
    assert SECRET not in stack
    first, second = stack.split("\nwhich caused\n")
    assert first.endswith("KeyError")
    assert "test_stack.py" in first
    assert ".inner" in first.splitlines()[-2]
    assert second.endswith("hoosh.errors.HooshError: ours")
    assert "raise" not in stack


def bug_in(function) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("no bug")


def test_what_happened_in_the_handling_of_an_error_is_told_unless_it_is_hidden():
    def both() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError:
            raise ValueError(SECRET)  # noqa: B904

    def hidden() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError:
            raise ValueError(SECRET) from None

    assert "KeyError\nand, while that was handled\n" in stack_of(bug_in(both))
    assert "KeyError" not in stack_of(bug_in(hidden))


def test_groups_are_opened_with_the_chains_inside_and_not_their_own_text():
    def nested() -> None:
        cause = bug(LookupError(SECRET))
        effect = RuntimeError(SECRET)
        effect.__cause__ = cause
        raise ExceptionGroup(SECRET, [bug(effect), ExceptionGroup(SECRET, [bug(KeyError(SECRET))])])

    stack = stack_of(bug_in(nested))
    assert SECRET not in stack
    assert [word in stack for word in ("LookupError", "RuntimeError", "KeyError", "ExceptionGroup: 1 inside")] == [
        True
    ] * 4


def test_a_chain_that_bites_its_tail_a_deep_one_and_a_wide_one_have_an_end():
    one, two = bug(KeyError(SECRET)), bug(ValueError(SECRET))
    one.__context__, two.__context__ = two, one
    assert stack_of(one).count("KeyError") == 1
    deep: BaseException = KeyError(SECRET)
    for _ in range(500):
        deep = ExceptionGroup(SECRET, [deep, *(ValueError(SECRET) for _ in range(50))])  # type: ignore[list-item]
    assert len(stack_of(deep)) <= STACK_CHARS

    def fall(steps: int) -> None:
        if steps == 0:
            raise KeyError(SECRET)
        fall(steps - 1)

    assert "frames more" in stack_of(bug_in(lambda: fall(300)))


def test_with_its_text_a_stack_is_pythons_own():
    stack = stack_of(bug(KeyError("a word")), with_text=True)
    assert stack.startswith("Traceback (most recent call last):")
    assert stack.endswith("KeyError: 'a word'")
