"""Task ids as text and as file names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmeta.adapters.ids import MAX_NAME, escaped, nearest, task_key, unescaped
from hfmeta.inner.errors import HfmetaError


def test_names_by_hand():
    assert escaped("user_7-b") == "user_7-b"
    assert escaped("../../x") == "%2e%2e%2f%2e%2e%2fx"
    assert escaped("A b") == "%41%20b"
    assert escaped("é") == "%c3%a9"
    assert escaped("%41") == "%2541"
    assert re.fullmatch("~[0-9a-f]{64}", escaped("x" * (MAX_NAME + 1)))
    assert escaped("x" * MAX_NAME) == "x" * MAX_NAME


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
)
def test_one_name_for_each_id_on_every_file_system(left, right):
    for key in (left, right):
        name = escaped(key)
        assert re.fullmatch("[a-z0-9_%-]+|~[0-9a-f]{64}", name)
        assert len(name) <= MAX_NAME
        assert unescaped(name) == (None if name.startswith("~") else key)
    assert (escaped(left) == escaped(right)) == (left == right)


@pytest.mark.parametrize("name", ["", "A", "%4", "%zz", "%61", "a.b", "../x", "~" + "0" * 64, "%ff", "%E9"])
def test_names_that_nobody_wrote(name):
    assert unescaped(name) is None


def test_keys():
    assert task_key(7) == task_key("7") == "7"
    assert task_key(-1) == "-1"
    assert task_key("\u00e9") != task_key("e\u0301")
    assert task_key(" ") == " "
    for task, message in (
        ("", "empty"),
        (True, "received True .bool."),
        (None, "received None"),
        (0.5, "received 0.5 .float."),
    ):
        with pytest.raises(HfmetaError, match=message):
            task_key(task)
    with pytest.raises(HfmetaError, match=r"lone surrogate at position 1"):
        task_key("a\ud83d")
    assert task_key("é" * 2048)
    with pytest.raises(HfmetaError, match="has 4098 bytes; at most 4096 are allowed .it begins 'ééé"):
        task_key("é" * 2049)


def test_nearest():
    assert nearest("alcie", ["alice", "bob"]) == " Did you mean 'alice'?"
    assert nearest("x", ["alice", "bob"]) == " There are: 'alice', 'bob'."
    assert nearest("x", [f"user {n}" for n in range(9)]) == ""
    assert nearest("x", []) == ""
