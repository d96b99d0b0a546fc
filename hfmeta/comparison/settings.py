"""Whom a table tests, and how: the same trained models in every setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """What a test has of its own.

    Args:
        overrides: `section.key=value` words for the recipes, in the test alone.
        passes: over a user's rows, those before pruning among them; None: as many as the recipes say.
    """

    overrides: tuple[str, ...] = ()
    passes: int | None = None


SETTINGS: dict[str, Setting] = {
    "main": Setting(),
    "long": Setting(passes=25),
    "whole": Setting(("data.max_support_rows=null",)),
    "shot100": Setting(("data.max_dialogues_per_user=11", "data.max_support_rows=100")),
    "shot110": Setting(("data.max_dialogues_per_user=16", "data.max_support_rows=110")),
    "similar": Setting(("data.test_users=similar",)),
    "dissimilar": Setting(("data.test_users=dissimilar",)),
    "validation": Setting(("data.test_users=validation",)),
}
"""`long` adapts for as many passes as the reference code of Song et al. 2020, `whole` to all rows of a user's other dialogues, however
few `main` takes. The 100-shot and 110-shot users of the paper hold as many pairs; which users are similar is our rule
(`hfmeta.corpora.select_users`), as the paper gives none. `validation` tests on the users on whom options are chosen."""
