"""The rows that all persona corpora share, and what is done to such tables: caps and statistics.

The columns are `persona` (whose reply it is: the task), `persona_sentences`, `dialogue`, `turn`, `context`, `reply`; a corpus may
add its own.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value

from hfmeta.episodes.errors import EpisodeError, whole_number
from hfmeta.episodes.sampling import GroupIndex

logger = logging.getLogger(__name__)
_TEXTS = List(Value("string"))
FEATURES: dict[str, Any] = {
    "persona": Value("string"),
    "persona_sentences": _TEXTS,
    "dialogue": Value("string"),
    "turn": Value("int32"),
    "context": Value("string"),
    "reply": Value("string"),
    "partner": Value("string"),
    "partner_sentences": _TEXTS,
    "candidates": _TEXTS,
}


def as_table(rows: list[dict[str, Any]], source: object) -> Dataset:
    """Return rows as a table with the types of these columns.

    Args:
        rows: at least one row; all with the same keys.
        source: what was read, for the message.

    Raises:
        EpisodeError: no rows.
    """
    if not rows:
        raise EpisodeError(f"{source} has no dialogue that can be used; see the log for what was left out.")
    return Dataset.from_list(rows, features=Features({name: FEATURES[name] for name in rows[0]}))


def limit_dialogues(rows: Dataset, most: int, seed: int = 0) -> Dataset:
    """Return the table with at most so many dialogues of each persona, drawn at random; says the utterances that are left.

    The draw of a persona depends on the seed and its name alone. The "N-shot" of published tables is an average number of
    utterances under such a cap, so it is logged.

    Args:
        rows: columns `persona` and `dialogue`.
        most: dialogues of a persona that are kept (those of the query included).
        seed: seed of the draw.

    Raises:
        EpisodeError: most below 2, which would leave no query, or missing columns.
    """
    whole_number("max_dialogues_per_user", most, 2, "dialogues")
    personas, dialogues = GroupIndex(rows, "persona"), GroupIndex(rows, "dialogue")
    kept = []
    for number, name in enumerate(personas.names):
        members = personas.rows(number)
        found = np.unique(dialogues.codes[members])
        if len(found) > most:
            code = int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:8])
            chosen = np.random.default_rng([seed, code]).choice(found, size=most, replace=False)
            members = members[np.isin(dialogues.codes[members], chosen)]
        kept.append(members)
    table = rows.select(np.sort(np.concatenate(kept)))
    counts = dialogue_counts(table)
    averages = counts["dialogues_per_persona"], counts["replies_per_persona"]
    logger.info("at most %d dialogues of a persona: on average %.1f dialogues and %.1f replies", most, *averages)
    return table


def dialogue_counts(rows: Dataset) -> dict[str, float]:
    """Return `personas`, `dialogues`, `replies`, and on average `dialogues_per_persona` and `replies_per_persona`.

    A dialogue with users of two personas counts once in `dialogues` and once for each persona in the average. A published
    "utterances per user" counts both speakers, about twice the replies.

    Args:
        rows: columns `persona` and `dialogue`.
    """
    personas, dialogues = GroupIndex(rows, "persona"), GroupIndex(rows, "dialogue")
    pairs = len(np.unique(np.stack([personas.codes, dialogues.codes]), axis=1).T)
    return {
        "personas": len(personas),
        "dialogues": len(dialogues),
        "replies": len(rows),
        "dialogues_per_persona": pairs / len(personas),
        "replies_per_persona": len(rows) / len(personas),
    }
