"""The one error of a recipe: every problem found, in one message; finding them is the work of the other files here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from hfmeta.inner.errors import HfmetaError


class RecipeError(HfmetaError):
    """A recipe that cannot run, with all that is wrong in it.

    Args:
        source: the recipe's path, or a word for where the values came from.
        problems: one sentence for each problem, starting with `section.key`.
    """

    def __init__(self, source: str, problems: Sequence[str]):
        self.source, self.problems = source, list(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__(
            f"{source}: {count}, nothing was run or written.\n" + "\n".join(f"  - {p}" for p in self.problems)
        )


def closest(name: str, choices: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest match, or the choices when they are few.

    Args:
        name: the unknown name.
        choices: the known names.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {near[0]}?)"
    if known and len(known) <= 15:
        return f" (known: {', '.join(known)})"
    return ""
