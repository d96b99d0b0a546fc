"""One user's values as a PEFT folder: of a LoRA, a PRIVATE_MLP and a network inside a model; what does not fit is refused."""

from __future__ import annotations

import json

import pytest
import torch
from peft import IA3Config, PeftModel, get_peft_model
from safetensors.torch import load_file

from hfmeta.adapters.private_folder import save_private_adapter
from hfmeta.adapters.pruning import apply_masks
from hfmeta.inner.errors import HfmetaError
from private import MODELS, logits, private, rows_of
from tiny import tiny_bert, tiny_lstm, with_lora

BUILD = {
    "lora": ("bert", lambda: with_lora(tiny_bert(), r=4), ".lora_"),
    "private_mlp": ("bert", lambda: private(tiny_bert(), hidden_sizes=[24, 24]), ".mlp.layers."),
    "inside": ("seq2spg", tiny_lstm, "decoder.private.layers."),
}


def user(model, mark, seed=1):
    """Random private values, and masks that keep a third of the rows of every tensor."""
    dice = torch.Generator().manual_seed(seed)
    named = {name: value for name, value in model.named_parameters() if mark in name}
    values = {name: 0.3 * torch.randn(value.shape, generator=dice) for name, value in named.items()}
    masks = {
        name: (torch.arange(len(v)) % 3 == 0).view(-1, *[1] * (v.dim() - 1)).expand(v.shape)
        for name, v in values.items()
    }
    if mark == ".lora_":
        masks = {name: mask if "lora_A" in name else torch.ones_like(mask) for name, mask in masks.items()}
    return values, masks


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", BUILD)
def test_the_folder_is_the_model_with_these_values(kind, masked, tmp_path):
    name, build, mark = BUILD[kind]
    model, rows = build().eval(), rows_of(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    values, masks = user(model, mark)
    masks = masks if masked else None
    assert save_private_adapter(model, values, tmp_path, masks=masks, learner=("me", "1")) == tmp_path
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "it stays as it was"
    again = PeftModel.from_pretrained(MODELS[name][0]().eval(), str(tmp_path)).eval()
    with torch.no_grad():
        for key, value in apply_masks(values, masks or {}).items():
            dict(model.named_parameters())[key].copy_(value)
    torch.testing.assert_close(logits(again, rows), logits(model, rows), rtol=1e-5, atol=1e-5)
    if kind != "lora":
        config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
        assert (config["peft_type"], config["base_learner"], config["base_learner_revision"]) == (
            "PRIVATE_MLP",
            "me",
            "1",
        )
        assert config["sparse"]
        stored = load_file(tmp_path / "adapter_model.safetensors")
        assert any(key.endswith("_bits") for key in stored) == masked


def test_what_does_not_fit_is_refused(tmp_path):
    model = tiny_lstm()
    values, _ = user(model, "decoder.private.layers.")
    name = "decoder.private.layers.0.weight"
    with pytest.raises(HfmetaError, match="'decoder.private.layers.0.weigth' is no tensor of the model. Did you mean"):
        save_private_adapter(model, {"decoder.private.layers.0.weigth": values[name]}, tmp_path)
    with pytest.raises(HfmetaError, match="'decoder.private.layers.0.weight' has shape"):
        save_private_adapter(model, {name: values[name][:1]}, tmp_path)
    with pytest.raises(HfmetaError, match="linear_d.bias belongs to no private network.*has decoder.private"):
        save_private_adapter(model, {"decoder.gate.linear_d.bias": model.decoder.gate.linear_d.bias.detach()}, tmp_path)
    other = get_peft_model(tiny_bert(), IA3Config(target_modules=["key"], feedforward_modules=[]))
    scale = {key: value.detach() for key, value in other.named_parameters() if "ia3_" in key}
    with pytest.raises(HfmetaError, match="'default' is .*IA3.*LORA or PRIVATE_MLP"):
        save_private_adapter(other, scale, tmp_path)
    assert not list(tmp_path.iterdir())
