"""The methods of a table: which recipe trains each, from which weights it starts, and whether test tasks adapt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe.errors import closest


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Args:
        name: how it is asked for.
        label: how the table calls it.
        recipe: the recipe that trains it, without folder and `.yaml`; methods of one recipe and equal overrides share a run.
        adapt: whether test tasks adapt; False: the trained model answers as it stands.
        overrides: of the recipe, for training and test.
        start: the recipe whose run it starts from: its last checkpoint; None: drawn weights.
        against: names of the methods that it is compared with, task by task.
    """

    name: str
    label: str
    recipe: str
    adapt: bool = True
    overrides: tuple[str, ...] = ()
    start: str | None = None
    against: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """Name of the run that trains it."""
        return self.name if self.overrides else self.recipe


# Structures of one's own against every method without; a start by MAML against what a user would do instead of it.
_PLAIN = ("maml_seq2spg", "seq2spg_f", "seq2spg", "maml_seq2seq")

DIALOGUE_METHODS: tuple[Method, ...] = (
    Method("seq2seq", "Seq2seq", "seq2seq", adapt=False),
    Method("speaker", "Speaker", "speaker", adapt=False),
    Method("seq2spg", "Seq2SPG", "seq2spg", adapt=False),
    Method("seq2seq_f", "Seq2seq-F", "seq2seq", against=("seq2seq",)),
    Method("speaker_f", "Speaker-F", "speaker", against=("speaker",)),
    Method("seq2spg_f", "Seq2SPG-F", "seq2spg", against=("seq2spg",)),
    Method("maml_seq2seq", "MAML-Seq2seq", "maml_seq2seq", start="seq2seq", against=("seq2seq_f", "seq2seq")),
    Method("maml_seq2spg", "MAML-Seq2SPG", "maml_seq2spg", start="seq2spg", against=("seq2spg_f", "seq2spg")),
    Method("cmaml_seq2sp_prime", "CMAML-Seq2SP'G", "cmaml_seq2sp_prime", start="seq2sp_prime", against=_PLAIN),
    Method("cmaml_seq2spg", "CMAML-Seq2SPG", "cmaml_seq2spg", start="seq2spg", against=_PLAIN),
    Method(
        "cmaml_seq2spg_private",
        "CMAML-Seq2SPG, adapt=private",
        "cmaml_seq2spg",
        overrides=("algorithm.adapt=private",),
        start="seq2spg",
        against=_PLAIN,
    ),
)
"""The ten methods of Song et al. 2020, in the order of their table, and CMAML that adapts the private network alone."""


def choose_methods(names: Sequence[str], known: Sequence[Method] = DIALOGUE_METHODS) -> list[Method]:
    """The methods of these names, in the order of the table.

    Args:
        names: none: all.
        known: the methods to choose from.

    Raises:
        HfmetaError: an unknown name.
    """
    all_names = [one.name for one in known]
    for name in names:
        if name not in all_names:
            raise HfmetaError(f"unknown method {name!r}{closest(name, all_names)}; known: {', '.join(all_names)}.")
    return [one for one in known if not names or one.name in names]
