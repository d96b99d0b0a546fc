"""What PEFT's users expect of an adapter: attach, switch, disable, delete, save, load, mix; and what is refused."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from peft import get_peft_model
from transformers import GenerationConfig

from hfmeta.adapters import PrivateMlpConfig, adapter_names
from hfmeta.adapters.private_mlp import PrivateMlpLayer, is_gate
from private import MODELS, add, logits, private, rows_of
from tiny import tiny_bert, tiny_gpt2, tiny_lstm, tiny_t5

ALL = pytest.mark.parametrize("name", list(MODELS))


def checkpoint_activations(model):
    """Gradient checkpointing under the name that this version of transformers has for it."""
    base = model.get_base_model()
    (getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable)()


@ALL
@pytest.mark.parametrize("gate", ["diagonal", "full"])
def test_the_default_start_changes_nothing_and_a_random_one_does(name, gate):
    build, rows = MODELS[name][0], rows_of(name)
    model = get_peft_model(build(), PrivateMlpConfig(gate=gate)).eval()
    base = build().eval().requires_grad_(False)
    assert torch.equal(logits(model, rows), logits(base, rows))
    assert not torch.equal(logits(private(build(), gate=gate), rows), logits(base, rows))
    trainable = [key for key, value in model.named_parameters() if value.requires_grad]
    assert trainable == adapter_names(model)
    assert any(is_gate(key) for key in trainable) == (name != "seq2spg")


@ALL
def test_every_private_tensor_can_learn(name):
    model = private(MODELS[name][0]())
    model.train()(**rows_of(name)).loss.backward()
    own = adapter_names(model)
    for key, value in model.named_parameters():
        if key in own:
            assert value.grad is not None
            assert value.grad.abs().sum() > 0, key
        else:
            assert value.grad is None


@ALL
def test_switch_disable_delete_and_unload(name):
    build, rows = MODELS[name][0], rows_of(name)
    plain = logits(build().eval().requires_grad_(False), rows)
    model = add(private(build(), adapter="anna"), "ben")
    anna = logits(model, rows)
    assert not any(value.requires_grad for key, value in model.named_parameters() if ".ben." in key)
    model.set_adapter("ben")
    ben = logits(model, rows)
    assert not torch.equal(anna, ben)
    with model.disable_adapter():
        assert torch.equal(logits(model, rows), plain)
    model.set_adapter("anna")
    assert torch.equal(logits(model, rows), anna)
    with pytest.warns(UserWarning, match="Setting active adapter to ben"):
        model.delete_adapter("anna")
    assert not any(".anna." in key for key in model.state_dict())
    assert torch.equal(logits(model, rows), ben)
    base = model.unload()
    assert not any(isinstance(module, PrivateMlpLayer) for module in base.modules())
    assert not any(module._forward_hooks for module in base.modules())
    assert torch.equal(logits(base, rows), plain)


@ALL
def test_rows_of_one_batch_have_their_own_adapters(name):
    build, rows = MODELS[name][0], rows_of(name)
    model = add(private(build(), adapter="anna"), "ben")
    names = ["anna", "__base__", "ben", "ben", "anna", "__base__"]
    mixed = logits(model, rows, adapter_names=names)
    with model.disable_adapter():
        alone = {"__base__": logits(model, rows)}
    for adapter in ("anna", "ben"):
        model.set_adapter(adapter)
        alone[adapter] = logits(model, rows)
    for row, adapter in enumerate(names):
        torch.testing.assert_close(mixed[row], alone[adapter][row], rtol=1e-5, atol=1e-5)
    assert torch.equal(logits(model, rows), alone["ben"])  # nothing of the mixture stays behind


@pytest.mark.parametrize("name", ["gpt2", "t5", "seq2spg"])
@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"num_return_sequences": 2, "num_beams": 3}, "config"])
def test_generation_with_mixed_adapters(name, how):
    model = add(private(MODELS[name][0](), adapter="anna"), "ben")
    ids = rows_of(name, count=4)["input_ids"][:, :3].clamp(min=5)
    rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    options = {
        "do_sample": False,
        "max_new_tokens": 5,
        "min_new_tokens": 5,
        **({"num_beams": 3} if how == "config" else how),
    }
    if how == "config":
        ends = {
            name: getattr(model.generation_config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
        }
        start = model.generation_config.decoder_start_token_id
        options = {"generation_config": GenerationConfig(**options, **ends, decoder_start_token_id=start)}
    mixed = model.generate(**rows, **options, adapter_names=["anna", "ben", "anna", "ben"])
    mixed = mixed.view(4, -1, mixed.shape[-1])
    for adapter, mine in (("anna", [0, 2]), ("ben", [1, 3])):
        model.set_adapter(adapter)
        assert torch.equal(model.generate(**rows, **options).view(mixed.shape)[mine], mixed[mine])


@pytest.mark.parametrize("name", ["bert", "seq2spg"])
def test_several_active_adapters_add_up(name):
    rows = rows_of(name)
    model = add(private(MODELS[name][0](), adapter="anna"), "ben")
    one = logits(model, rows)
    model.base_model.set_adapter(["anna", "ben"])
    both = logits(model, rows)
    model.base_model.set_adapter(["ben", "anna"])
    torch.testing.assert_close(logits(model, rows), both)
    assert not torch.allclose(one, both)
    model.base_model.set_adapter([])
    with model.disable_adapter():
        plain = logits(model, rows)
    assert torch.equal(logits(model, rows), plain)


def test_the_changes_to_a_private_modules_answer_add_up():
    model = add(private(tiny_lstm(), adapter="anna"), "ben")
    layer, z = model.base_model.model.decoder.private, torch.randn(3, 2, 12)
    answers = {}
    for active in ("anna", "ben", ["anna", "ben"], []):
        model.base_model.set_adapter(active)
        answers[str(active)] = layer(z)
    base = layer.base_layer(z)
    assert torch.equal(answers["[]"], base)
    assert torch.equal(answers["anna"], layer.private_mlp_adapter["anna"].mlp(z))
    torch.testing.assert_close(answers["['anna', 'ben']"], answers["anna"] + answers["ben"] - base)


def test_copies_stand_on_their_own(tmp_path):
    rows = rows_of("bert")
    model = private(tiny_bert())
    before = logits(model, rows)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, value in twin.named_parameters():
            if ".mlp." in name:
                value.add_(0.5)
    assert torch.equal(logits(model, rows), before)
    assert not torch.allclose(logits(twin, rows), before)
    torch.save(model, tmp_path / "model")
    assert torch.equal(logits(torch.load(tmp_path / "model", weights_only=False), rows), before)


def test_what_peft_tells_about_a_model():
    model = add(private(tiny_bert(), adapter="anna"), "ben")
    status = model.get_model_status()
    assert (status.num_adapter_layers, status.available_adapters, status.enabled) == (2, ["anna", "ben"], True)
    assert (status.active_adapters, status.merged_adapters, status.devices) == (
        ["anna"],
        [],
        {n: ["cpu"] for n in ("anna", "ben")},
    )
    trained, whole = model.get_nb_trainable_parameters()
    assert trained == 2 * (16 * 8 + 8 + 8 * 16 + 16 + 3 * 16) < whole
    assert "PrivateMlpLayer" in repr(model)


def test_what_the_model_reads_of_its_blocks_is_there():
    model = private(tiny_gpt2())
    block = model.base_model.model.transformer.h[0]
    assert isinstance(block, PrivateMlpLayer)
    assert block.attn is block.base_layer.attn
    assert private(tiny_lstm()).base_model.model.decoder.private.sizes == tiny_lstm().decoder.private.sizes
    with pytest.raises(AttributeError):
        _ = block.no_such_thing
    checkpoint_activations(model)
    assert block.base_layer.gradient_checkpointing


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "vit"])
def test_hidden_states_and_gradient_checkpointing(name):
    rows = rows_of(name)
    model = private(MODELS[name][0]())
    key = "decoder_hidden_states" if name == "t5" else "hidden_states"
    with torch.no_grad():
        seen = model(**rows, output_hidden_states=True)[key]
        with model.disable_adapter():
            plain = model(**rows, output_hidden_states=True)[key]
    assert len(seen) == 3
    assert torch.equal(seen[0], plain[0])
    assert not torch.allclose(seen[1], plain[1])
    grads = []
    for checkpointed in (False, True):
        model.zero_grad()
        if checkpointed:
            checkpoint_activations(model.train())
        model(**rows).loss.backward()
        grads.append([value.grad.clone() for value in model.parameters() if value.grad is not None])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_layers_to_transform_choose_blocks():
    def blocks(**options):
        found = private(tiny_t5(), **options).named_modules()
        return [name.removeprefix("base_model.model.") for name, module in found if isinstance(module, PrivateMlpLayer)]

    assert blocks() == [f"{part}.block.{i}" for part in ("encoder", "decoder") for i in (0, 1)]
    assert blocks(layers_to_transform=[1]) == ["encoder.block.1", "decoder.block.1"]
    assert blocks(layers_to_transform=0, layers_pattern="decoder.block") == ["decoder.block.0"]
    assert blocks(target_modules=["block.1"], exclude_modules=["encoder.block.1"]) == ["decoder.block.1"]


def test_half_precision_and_linear_targets():
    rows = rows_of("bert")
    model = private(tiny_bert(dtype=torch.bfloat16), target_modules=["query", "intermediate.dense"])
    assert logits(model, rows).dtype == torch.bfloat16
    assert logits(model, rows).isfinite().all()


def test_no_warning_on_the_common_ways():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        model = private(tiny_gpt2(), adapter="anna")
        add(model, "ben")
    assert set(model.peft_config) == {"anna", "ben"}
