"""Private adapters for transformers' own `load_adapter`: it refuses sparse files whole, and opens those that are exported dense."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from learner.served import answers, base_of, questions, rows_of_user, served_learner


@pytest.mark.parametrize("kind", ["bert-mlp", "seq2spg"])
def test_dense_exports_open_by_load_adapter(kind, tmp_path):
    learner, rows = served_learner(kind), questions(kind)
    if kind == "seq2spg":
        learner.save_pretrained(tmp_path / "learner")
    anna = learner.adapt(rows_of_user(kind, "anna"))
    expected = answers(anna, rows)
    learner.save_private(anna, tmp_path / "sparse")
    learner.save_private(anna, tmp_path / "dense", sparse=False)
    with learner.serve(tmp_path / "bank") as serving:
        serving.add("anna", rows_of_user(kind, "anna"))
        (exported,) = serving.export(tmp_path / "exported", sparse=False)
    stored = load_file(tmp_path / "dense" / "adapter_model.safetensors")
    assert not [name for name in stored if name.endswith("_bits")]
    assert [name for name in load_file(tmp_path / "sparse" / "adapter_model.safetensors") if name.endswith("_bits")]
    assert json.loads((tmp_path / "dense" / "adapter_config.json").read_text())["sparse"] is False
    for folder in (tmp_path / "dense", exported):
        torch.testing.assert_close(answers(learner.open_private(folder), rows), expected, rtol=1e-6, atol=1e-6)
        model = start_of(kind, tmp_path)
        model.load_adapter(str(folder), adapter_name="anna")
        torch.testing.assert_close(answers(model.eval(), rows), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="mismatch"):
        start_of(kind, tmp_path).load_adapter(str(tmp_path / "sparse"))


def start_of(kind, room):
    """The base model of an adapter: a Seq2SPG's is the learner's folder, which knows whose it is."""
    from hfmeta.models import Seq2SpgForConditionalGeneration

    if kind == "seq2spg":
        return Seq2SpgForConditionalGeneration.from_pretrained(room / "learner").eval()
    return base_of(kind)
