"""YAML values to typed values, by annotation: `1e-3` is a number, `abc` is not. Knows annotations, nothing of recipes."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from typing import Any, Literal, Union

from hfmeta.recipe.errors import closest


class MismatchError(Exception):
    """A value that does not fit its annotation; the message says what was received and what was expected."""


def describe(annotation: Any) -> str:
    """An annotation in words a YAML author understands.

    Args:
        annotation: a type as `typing.get_type_hints` returns it.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        # An enum beside plain text is the enum's names, read from text.
        parts = _without_text_of_enums(arguments)
        return " or ".join(describe(part) for part in parts)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (list, tuple):
        return f"a list (each item {describe(arguments[0])})" if arguments else "a list"
    if origin is dict or annotation is dict:
        return "a mapping"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "one of " + ", ".join(str(member.value) for member in annotation)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "nothing (null)"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def coerce(value: Any, annotation: Any) -> Any:
    """The value as its annotation wants it.

    Args:
        value: what YAML gave (str, int, float, bool, None, list or dict).
        annotation: a resolved type: a plain one, `X | None`, a Literal, an enum, or a list, tuple or dict of these.

    Returns:
        the value, converted where text or a whole number stands for a number.

    Raises:
        MismatchError: received and expected, in one sentence.
    """
    if annotation is Any or isinstance(annotation, typing.TypeVar):
        return value
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, annotation, arguments)
    if origin is Literal:
        return _coerce_literal(value, annotation, arguments)
    if origin in (list, tuple) or annotation in (list, tuple):
        return _coerce_list(value, annotation, origin or annotation, arguments)
    if origin is dict or annotation is dict:
        if not isinstance(value, dict):
            raise _mismatch(value, annotation)
        if not arguments:
            return value
        return {coerce(key, arguments[0]): coerce(item, arguments[1]) for key, item in value.items()}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _coerce_enum(value, annotation)
    if annotation is bool:
        if not isinstance(value, bool):
            raise _mismatch(value, annotation)
        return value
    if annotation in (int, float):
        return _coerce_number(value, annotation)
    if isinstance(annotation, type) and isinstance(value, annotation):
        return value
    if annotation is str and isinstance(value, int | float) and not isinstance(value, bool):
        raise MismatchError(f"expected text, received the number {value!r}: write it in quotes")
    raise _mismatch(value, annotation)


def fill(
    cls: type, values: dict[str, Any], where: str, problems: list[str], skip: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Keyword arguments of a dataclass from a mapping; everything that does not fit is added to `problems`.

    Args:
        cls: the dataclass.
        values: the mapping of a YAML section.
        where: the section's name, the prefix of every problem.
        problems: the list that gathers, changed in place.
        skip: fields that are no keys of a recipe.

    Returns:
        the coerced values of the keys that fit.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init and f.name not in skip}
    filled: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            problems.append(f"{where}.{key}: unknown key{closest(str(key), fields)}")
            continue
        try:
            filled[key] = coerce(value, hints[key])
        except MismatchError as error:
            problems.append(f"{where}.{key}: {error}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            problems.append(f"{where}.{name}: missing; give {describe(hints[name])}")
    return filled


def _mismatch(value: Any, annotation: Any) -> MismatchError:
    return MismatchError(f"expected {describe(annotation)}, received {value!r}")


def _without_text_of_enums(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    has_enum = any(isinstance(a, type) and issubclass(a, enum.Enum) for a in arguments)
    return tuple(a for a in arguments if not (has_enum and a is str))


def _coerce_union(value: Any, annotation: Any, arguments: tuple[Any, ...]) -> Any:
    options = _without_text_of_enums(arguments)
    if value is None and type(None) in options:
        return None
    if len(real := [option for option in options if option is not type(None)]) == 1:
        return coerce(value, real[0])
    # A value that already has one of the types stays as it is: "3" is text for `str | int`, 3 is a number.
    for option in options:
        if isinstance(option, type) and not typing.get_origin(option) and type(value) is option:
            return value
    for option in options:
        try:
            return coerce(value, option)
        except MismatchError:
            continue
    raise _mismatch(value, annotation)


def _coerce_literal(value: Any, annotation: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
        if isinstance(value, str) and not isinstance(choice, str) and value == str(choice):
            return choice
    hint = closest(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    raise MismatchError(str(_mismatch(value, annotation)) + (hint if hint.startswith(" (did") else ""))


def _coerce_list(value: Any, annotation: Any, kind: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, list | tuple):
        raise _mismatch(value, annotation)
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise MismatchError(f"expected {len(arguments)} values, received {len(value)}: {value!r}")
        return tuple(coerce(item, wanted) for item, wanted in zip(value, arguments, strict=True))
    items = [coerce(item, arguments[0]) for item in value] if arguments else list(value)
    return tuple(items) if kind is tuple else items


def _coerce_enum(value: Any, annotation: type[enum.Enum]) -> Any:
    # YAML reads a bare `no` as false; `eval_strategy: no` means the word.
    word = "no" if value is False else value
    for member in annotation:
        if word == member.value or word is member:
            return member.value
    raise _mismatch(value, annotation)


def _coerce_number(value: Any, annotation: type) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _mismatch(value, annotation)
    if annotation is int and isinstance(value, int):
        return value
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise _mismatch(value, annotation) from None
    if not math.isfinite(number):
        raise MismatchError(f"expected a finite number, received {value!r}")
    if annotation is float:
        return number
    if not number.is_integer():
        raise _mismatch(value, annotation)
    return int(number)
