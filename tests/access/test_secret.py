from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from hoosh.values import Secret


def test_a_secret_does_not_print():
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert secret.reveal() == "hunter2"


def test_secrets_are_compared_by_value():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert {Secret("a"): 1}[Secret("a")] == 1
    assert copy.deepcopy(Secret("a")) == copy.copy(Secret("a"))


def test_a_secret_cannot_be_encoded():
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hunter2"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))
