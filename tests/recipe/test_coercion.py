"""Checks of hfmeta/recipe/coercion.py."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Literal

import pytest

from hfmeta.recipe.coercion import MismatchError, coerce, describe, fill


class Colour(enum.Enum):
    RED = "red"
    NO = "no"


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("1e-3", float, 0.001),
        ("2.5", float, 2.5),
        (3, float, 3.0),
        ("7", int, 7),
        ("1e3", int, 1000),
        (4.0, int, 4),
        ("3", int | None, 3),
        (None, int | None, None),
        (5, float | None, 5.0),
        (True, bool, True),
        ("text", str, "text"),
        ("3", str | int, "3"),
        (3, str | int, 3),
        ([1, "2"], list[int], [1, 2]),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "2.0"], tuple[int, float], (1, 2.0)),
        ({"a": "1"}, dict[str, int], {"a": 1}),
        ({"a": [1]}, dict[str, Any], {"a": [1]}),
        ({"a": 1}, dict, {"a": 1}),
        ([1, "x"], list, [1, "x"]),
        ("two", Literal["one", "two"], "two"),
        ("2", Literal[1, 2], 2),
        ("red", Colour | str, "red"),
        (False, Colour | str, "no"),
        ({"x": 1}, Any, {"x": 1}),
    ],
)
def test_values_that_fit(value, annotation, expected):
    result = coerce(value, annotation)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("abc", float, "expected a number, received 'abc'"),
        ("abc", int | None, "expected a whole number, received 'abc'"),
        (1.5, int, "expected a whole number, received 1.5"),
        (True, int, "expected a whole number, received True"),
        (True, float, "expected a number, received True"),
        (".inf", float, "expected a number, received '.inf'"),
        (float("inf"), float, "expected a finite number"),
        ("nan", float, "expected a finite number"),
        ("yes", bool, "expected true or false, received 'yes'"),
        (1, bool, "expected true or false, received 1"),
        (3, str, "write it in quotes"),
        ([1], str, "expected text, received [1]"),
        ("a", list[str], "expected a list (each item text), received 'a'"),
        ([1, "x"], list[int], "expected a whole number, received 'x'"),
        ([1], tuple[int, int], "expected 2 values, received 1"),
        ("a", dict[str, int], "expected a mapping"),
        ("on", Literal["one", "two"], "one of one, two, received 'on' (did you mean one?)"),
        (True, Literal[1, 2], "expected one of 1, 2, received True"),
        ("blue", Colour | str, "expected one of red, no, received 'blue'"),
        (None, int, "expected a whole number, received None"),
    ],
)
def test_values_that_do_not_fit(value, annotation, message):
    with pytest.raises(MismatchError) as caught:
        coerce(value, annotation)
    assert message in str(caught.value)


def test_describe_names_types_as_an_author_would():
    assert describe(list[float]) == "a list (each item a number)"
    assert describe(dict) == "a mapping"
    assert describe(bool | None) == "true or false or nothing (null)"


def test_fill_gathers_every_problem():
    @dataclasses.dataclass
    class Section:
        name: str
        rate: float = 0.1
        steps: int = 1
        hidden: int = dataclasses.field(default=0, init=False)

    problems: list[str] = []
    values = fill(Section, {"rate": "abc", "stepz": 3, "steps": "2", "hidden": 1}, "algorithm", problems)
    assert values == {"steps": 2}
    assert problems == [
        "algorithm.rate: expected a number, received 'abc'",
        "algorithm.stepz: unknown key (did you mean steps?)",
        "algorithm.hidden: unknown key (known: name, rate, steps)",
        "algorithm.name: missing; give text",
    ]
