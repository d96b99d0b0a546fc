"""The error of the episodes and corpora rooms, and the wording its messages share. Nothing else lives here."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable

from hfmeta.inner.errors import HfmetaError


class EpisodeError(HfmetaError):
    """Rows, tasks, columns or files from which no episode can be made; the message says what to do."""


def missing_columns(missing: Iterable[str], found: Iterable[str], what: str = "the rows") -> EpisodeError:
    """Return the error for absent columns: it lists those found and the nearest match of each missing one.

    Args:
        missing: names that were asked for and are not there.
        found: names that are there.
        what: the subject of the sentence.
    """
    missing, found = list(missing), list(found)
    near = {name: difflib.get_close_matches(name, found, n=1) for name in missing}
    hints = [f"{match[0]!r} for {name!r}" for name, match in near.items() if match]
    hint = f" Did you mean {', '.join(hints)}?" if hints else ""
    plural = "column" if len(missing) == 1 else "columns"
    listed = ", ".join(map(repr, missing))
    return EpisodeError(f"{what} have no {plural} {listed}; the columns found are {found}.{hint}")


def unknown_choice(option: str, received: object, choices: Iterable[str]) -> EpisodeError:
    """Return the error for a value outside a short list of choices, with the nearest one.

    Args:
        option: name of the argument.
        received: the value that was passed.
        choices: the legal values.
    """
    choices = list(choices)
    near = difflib.get_close_matches(str(received), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return EpisodeError(f"{option}={received!r} is unknown; choose one of {', '.join(map(repr, choices))}.{hint}")


def whole_number(option: str, value: object, least: int, unit: str = "") -> int:
    """Return a whole number, or raise the error that says what was received.

    Args:
        option: name of the argument.
        value: the value that was passed.
        least: the smallest legal value.
        unit: what is counted, for the message.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        of = f" {unit}" if unit else ""
        raise EpisodeError(f"{option} must be a whole number of at least {least}{of}, got {value!r}.")
    return int(value)


def listing(names: Iterable[object], limit: int = 10) -> str:
    """Return up to `limit` names as text, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more
