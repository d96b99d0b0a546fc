"""What the private MLP refuses: merging, mixed batches it cannot make, targets that cannot be, other models' and damaged files."""

from __future__ import annotations

import json
import re

import pytest
from peft import PeftModel, get_peft_model

from hfmeta.adapters import PrivateMlpConfig
from hfmeta.adapters.private_mlp import PrivateMlpLayer
from hfmeta.inner.errors import HfmetaError
from private import add, private, rows_of
from tiny import tiny_bert, tiny_mlp


def test_merging_and_weighing_are_refused():
    model = add(private(tiny_bert(), adapter="anna"), "ben")
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(HfmetaError, match="a private adapter cannot be merged: it is not linear"):
            merge()
    layer = next(module for module in model.modules() if isinstance(module, PrivateMlpLayer))
    with pytest.raises(HfmetaError, match="cannot be merged"):
        layer.unload_and_optionally_merge_module(merge=True)
    with pytest.warns(UserWarning, match="Already unmerged"):
        layer.unmerge()
    with pytest.raises(HfmetaError, match="private adapters cannot be combined by weights"):
        model.add_weighted_adapter(["anna", "ben"], [0.5, 0.5], "mean")


def test_mixed_batches_refuse_what_they_cannot_do():
    rows = rows_of("bert")
    model = private(tiny_bert(), adapter="anna")
    with pytest.raises(HfmetaError, match=re.escape("non-existing adapter(s): ben; there are anna.")):
        model(**rows, adapter_names=["ben"] * 6)
    with pytest.raises(
        HfmetaError, match="Length of `adapter_names` should be the same as the number of inputs, but got 2 and 6"
    ):
        model(**rows, adapter_names=["anna"] * 2)
    with pytest.raises(HfmetaError, match="Cannot pass `adapter_names` when the model is in training mode"):
        model.train()(**rows, adapter_names=["anna"] * 6)


def test_targets_that_cannot_be():
    with pytest.raises(
        HfmetaError, match="Please specify `target_modules`.*no default for the model type 'hfmeta-mlp'"
    ):
        get_peft_model(tiny_mlp(), PrivateMlpConfig())
    with pytest.raises(
        HfmetaError, match=r"does not fit bert\.embeddings\.LayerNorm \(LayerNorm\): its width cannot be read off"
    ):
        get_peft_model(tiny_bert(), PrivateMlpConfig(target_modules=["embeddings.LayerNorm"]))


def test_an_adapter_of_another_model_is_refused(tmp_path):
    private(tiny_bert()).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "somebody/base"}))
    with pytest.raises(
        HfmetaError,
        match=r"does not fit this model: .*is \(16,\) in the file and \(32,\) in the model\. It was made for",
    ):
        PeftModel.from_pretrained(tiny_bert(hidden_size=32), str(tmp_path))
    with pytest.raises(HfmetaError, match=r"does not fit this model: 14 missing, the first .*layer\.2\."):
        PeftModel.from_pretrained(tiny_bert(num_hidden_layers=4), str(tmp_path))
    with pytest.raises(HfmetaError, match=r"does not fit this model: 7 unexpected, the first .*layer\.1\."):
        PeftModel.from_pretrained(tiny_bert(num_hidden_layers=1), str(tmp_path))


def test_a_damaged_file_is_refused(tmp_path):
    private(tiny_bert()).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:20], b""):
        path.write_bytes(content)
        with pytest.raises(HfmetaError, match="adapter_model.safetensors is cut short or damaged"):
            PeftModel.from_pretrained(tiny_bert(), str(tmp_path))
