"""What annotators judge, and what each score means: the two scales of the paper, and the columns of a sheet."""

from __future__ import annotations

from dataclasses import dataclass

SCALE = (0, 1, 2)


@dataclass(frozen=True)
class Criterion:
    """One column that annotators fill in.

    Args:
        name: column name of the sheet.
        question: what is judged.
        meaning: of the scores 0, 1 and 2, in this order.
    """

    name: str
    question: str
    meaning: tuple[str, str, str]


CRITERIA = (
    Criterion(
        "quality",
        "Is the response well written and does it fit the conversation?",
        (
            "cannot be understood, or has nothing to do with the conversation",
            "understandable, with small mistakes, or so general that it would fit anywhere",
            "fluent, relevant and informative",
        ),
    ),
    Criterion(
        "task_consistency",
        "Does the response agree with the description in the column `task` (a persona, an emoji)?",
        (
            "contradicts the description",
            "does not contradict the description, but does not show it either",
            "clearly shows the description",
        ),
    ),
)
"""Quality and task consistency, scored 0, 1 or 2. Source: Song et al. 2020 (CMAML), human evaluation."""

FIXED_COLUMNS = ("study", "id", "task", "context", "response")
"""What a sheet holds before the columns to fill in; annotators leave these as they are."""
