"""Splits by persona of dialogues that belong to two personas, so that no dialogue of a held-out persona is trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from datasets import Dataset

from hfmeta.corpora.dialogue.rows import dialogue_counts
from hfmeta.episodes.errors import EpisodeError
from hfmeta.episodes.sampling import GroupIndex
from hfmeta.episodes.splits import Split, split_tasks

logger = logging.getLogger(__name__)
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


def split_by_persona(
    rows: Dataset, sizes: Mapping[str, float | int] | None = None, seed: int = 0, split: Split | None = None
) -> dict[str, Dataset]:
    """Return the parts of a split by persona, without leaks; says the counts of each part.

    A later part is stricter kept: the last part (test) has all dialogues of its personas, the one before (valid) those without a
    test persona on either side, and so on down to training. Only a part's own personas have rows there.

    Args:
        rows: columns `persona`, `partner` (the persona on the other side) and `dialogue`.
        sizes: name of each part -> share or number of personas, from training to test; by default 80, 10 and 10 %.
        seed: seed of the draw.
        split: `{part: personas}` in place of a draw.

    Returns:
        `{part: rows}`; a persona whose dialogues were all dropped has no rows.

    Raises:
        EpisodeError: missing columns, sizes that cannot be, a persona without a part, or a part that loses all its rows.

    Source: the rule of this project's tables; with 100 personas at 80/10/10, about two thirds of the dialogues stay in training.
    """
    personas, partners = GroupIndex(rows, "persona"), GroupIndex(rows, "partner")
    dialogues = GroupIndex(rows, "dialogue")
    if split is None:
        split = split_tasks({*personas.names, *partners.names}, SHARES if sizes is None else sizes, seed)
    order = {name: place for place, part in enumerate(split) for name in split[part]}
    if unknown := sorted({*personas.names, *partners.names} - set(order), key=str):
        raise EpisodeError(f"{len(unknown)} personas are in no part of the split, such as {unknown[0]!r}.")
    own = np.array([order[name] for name in personas.names])[personas.codes]
    other = np.array([order[name] for name in partners.names])[partners.codes]
    # The latest part on either side decides to which part a dialogue belongs.
    keeps = own >= other
    tables = {}
    for place, part in enumerate(split):
        chosen = np.flatnonzero((own == place) & keeps)
        if not len(chosen):
            raise EpisodeError(
                f"all {int((own == place).sum())} rows of part {part!r} are in dialogues with personas of later parts; use other "
                "sizes or another seed."
            )
        tables[part] = rows.select(chosen)
        dropped = np.unique(dialogues.codes[(own == place) & ~keeps])
        counts = dialogue_counts(tables[part])
        logger.info(
            "%s: %d of %d personas, %d dialogues, %d replies; %d dialogues with personas of later parts left out",
            *(part, counts["personas"], len(split[part]), counts["dialogues"], counts["replies"], len(dropped)),
        )
    return tables
