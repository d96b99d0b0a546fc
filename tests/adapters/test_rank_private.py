"""Rank-private LoRA: the same function as the LoRA with the dropped ranks at zero, in a folder that stock PEFT opens in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from hfmeta.adapters import attach_private_mlp
from hfmeta.adapters.pruning import apply_masks, find_rank_pairs, prune
from hfmeta.adapters.rank_private import lora_pairs, save_rank_private
from hfmeta.inner.errors import HfmetaError
from private import MODELS, logits, rows_of
from tiny import tiny_bert, tiny_gpt2, tiny_t5, with_lora

BUILD = {"bert": tiny_bert, "gpt2": tiny_gpt2, "t5": tiny_t5}
STOCK = """
import json, sys, warnings
sys.modules["hfmeta"] = None  # an import of it fails
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
base = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
rows = load_file(sys.argv[3])
model = PeftModel.from_pretrained(base, sys.argv[2]).eval()
with torch.no_grad():
    save_file({"logits": model(**rows).logits}, sys.argv[4])
"""


def random_structure(model, keep=0.5, seed=0):
    """Kept ranks at random; the first module keeps none, the second all."""
    dice, values, kept = torch.Generator().manual_seed(seed), dict(model.named_parameters()), {}
    for pair in lora_pairs(model):
        kept[pair.a] = torch.rand(values[pair.a].shape[0], generator=dice) < keep
    first, second = list(kept)[:2]
    kept[first][:], kept[second][:] = False, True
    return kept


def masked(model, structure):
    """The same model with the dropped ranks at zero."""
    with torch.no_grad():
        values = dict(model.named_parameters())
        for name, kept in structure.items():
            values[name].mul_(kept.view(-1, *[1] * (values[name].dim() - 1)))
    return model


@pytest.mark.parametrize("name", BUILD)
def test_the_folder_is_the_masked_lora(name, tmp_path):
    rows = rows_of(name)
    model = with_lora(BUILD[name](), r=5).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    structure = random_structure(model)
    assert save_rank_private(model, structure, tmp_path) == tmp_path
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert len([key for key in stored if "lora_A" in key]) == sum(bool(kept.any()) for kept in structure.values())
    again = PeftModel.from_pretrained(BUILD[name]().eval(), str(tmp_path))
    expected = logits(masked(model, structure), rows)
    torch.testing.assert_close(logits(again, rows), expected, rtol=1e-5, atol=1e-5)


def test_stock_peft_opens_it_without_hfmeta_and_without_noise(tmp_path):
    tiny_bert().save_pretrained(tmp_path / "base")
    model = with_lora(tiny_bert(), r=4).eval()
    structure = random_structure(model)
    save_rank_private(model, structure, tmp_path / "adapter", base=str(tmp_path / "base"))
    rows = {key: value for key, value in rows_of("bert").items() if key != "labels"}
    save_file({key: value.contiguous() for key, value in rows.items()}, tmp_path / "rows")
    paths = [str(tmp_path / name) for name in ("base", "adapter", "rows", "out")]
    done = subprocess.run(
        [sys.executable, "-c", STOCK, *paths],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    noise = [line for line in done.stderr.splitlines() if line.strip() and "Loading weights" not in line]
    assert not noise, noise
    expected = logits(masked(model, structure), rows)
    torch.testing.assert_close(load_file(tmp_path / "out")["logits"], expected, rtol=1e-5, atol=1e-5)


def test_masks_of_pruning_are_read_too(tmp_path):
    rows = rows_of("bert")
    model = with_lora(tiny_bert(), r=4).eval()
    values = {name: value.detach() for name, value in model.named_parameters() if ".lora_" in name}
    masks = prune(values, find_rank_pairs(values), keep_ratio=0.5, granularity="rank")
    save_rank_private(model, masks, tmp_path)
    with torch.no_grad():
        for name, value in apply_masks(values, masks).items():
            values[name].copy_(value)
    again = PeftModel.from_pretrained(tiny_bert().eval(), str(tmp_path))
    torch.testing.assert_close(logits(again, rows), logits(model, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"use_rslora": True}, {"alpha_pattern": {"query": 7}}, {"rank_pattern": {"query": 3}}]
)
def test_the_scaling_is_kept(options, tmp_path):
    rows = rows_of("bert")
    config = LoraConfig(r=5, lora_alpha=3, target_modules=["query", "dense"], init_lora_weights=False, **options)
    model = get_peft_model(tiny_bert(), config, adapter_name="anna").eval()
    structure = random_structure(model, seed=3)
    save_rank_private(model, structure, tmp_path)
    again = PeftModel.from_pretrained(tiny_bert().eval(), str(tmp_path))
    torch.testing.assert_close(logits(again, rows), logits(masked(model, structure), rows), rtol=1e-4, atol=1e-5)


def test_a_lora_that_keeps_everything_and_an_adapter_name_that_is_a_part_of_a_module_name(tmp_path):
    rows = rows_of("bert")
    config = LoraConfig(r=3, target_modules=["query"], init_lora_weights=False)
    model = get_peft_model(tiny_bert(), config, adapter_name="q").eval()
    assert [pair.scale for pair in lora_pairs(model)] == [8 / 3] * 2
    save_rank_private(model, {}, tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (written["r"], written["lora_alpha"], written["rank_pattern"], written["alpha_pattern"]) == (3, 8, {}, {})
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_bert().eval(), str(tmp_path)), rows), logits(model, rows))


def test_refusals(tmp_path):
    model = with_lora(tiny_bert(), r=4)
    first = lora_pairs(model)[0]
    with pytest.raises(HfmetaError, match="is no tensor of the LoRA 'default'"):
        save_rank_private(model, {first.a[:-1]: torch.ones(4)}, tmp_path)
    with pytest.raises(
        HfmetaError, match=r"is \(3,\); expected its kept ranks, \(4,\), or a mask of the tensor's shape, \(4, 16\)"
    ):
        save_rank_private(model, {first.a: torch.ones(3)}, tmp_path)
    with pytest.raises(HfmetaError, match="keeps no rank of any module"):
        save_rank_private(model, {pair.a: torch.zeros(4) for pair in lora_pairs(model)}, tmp_path)
    with pytest.raises(HfmetaError, match="'ben' is no LoRA of this model; its LoRAs: default"):
        save_rank_private(model, {}, tmp_path, adapter="ben")
    with pytest.raises(HfmetaError, match="its LoRAs: none"):
        save_rank_private(attach_private_mlp(tiny_bert(), MODELS["bert"][1]), {}, tmp_path)
    biased = get_peft_model(tiny_bert(), LoraConfig(target_modules=["query"], lora_bias=True))
    with pytest.raises(HfmetaError, match="a LoRA with lora_bias cannot be thinned by ranks"):
        save_rank_private(biased, {}, tmp_path)
    assert not list(tmp_path.iterdir())
