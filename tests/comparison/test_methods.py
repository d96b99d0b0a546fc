"""The methods of the published table, and how they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfmeta.comparison import DIALOGUE_METHODS, choose_methods
from hfmeta.inner.errors import HfmetaError

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_ten_methods_and_the_private_one():
    assert [method.label for method in DIALOGUE_METHODS[:10]] == [
        *("Seq2seq", "Speaker", "Seq2SPG", "Seq2seq-F", "Speaker-F", "Seq2SPG-F"),
        *("MAML-Seq2seq", "MAML-Seq2SPG", "CMAML-Seq2SP'G", "CMAML-Seq2SPG"),
    ]
    assert len({method.name for method in DIALOGUE_METHODS}) == len(DIALOGUE_METHODS) == 11


@pytest.mark.parametrize("folder", ["persona", "moji"])
def test_each_has_its_recipe_and_start(folder):
    for method in DIALOGUE_METHODS:
        for name in (method.recipe, method.start or method.recipe):
            assert (RECIPES / folder / f"{name}.yaml").is_file()


def test_plain_and_fine_tuned_rows_share_a_run_and_overrides_make_another():
    by_name = {method.name: method for method in DIALOGUE_METHODS}
    assert by_name["seq2spg"].run == by_name["seq2spg_f"].run == "seq2spg"
    assert by_name["cmaml_seq2spg_private"].run != by_name["cmaml_seq2spg"].run


def test_methods_are_chosen_by_name_in_the_order_of_the_table():
    assert [one.name for one in choose_methods(["cmaml_seq2spg", "seq2seq"])] == ["seq2seq", "cmaml_seq2spg"]
    assert choose_methods([]) == list(DIALOGUE_METHODS)
    with pytest.raises(HfmetaError, match="did you mean speaker_f"):
        choose_methods(["speaker-f"])
