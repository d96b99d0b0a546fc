"""Checks of hfmeta/models/mlp.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import MlpConfig, MlpForRegression
from tiny import seeded, tiny_mlp


def test_the_default_is_the_sinusoid_network():
    model = seeded(lambda: MlpForRegression(MlpConfig()))
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert shapes == {
        "layers.0.weight": (40, 1),
        "layers.0.bias": (40,),
        "layers.1.weight": (40, 40),
        "layers.1.bias": (40,),
        "head.weight": (1, 40),
        "head.bias": (1,),
    }
    assert sum(value.numel() for value in model.parameters()) == 1761


def test_weights_start_truncated_and_biases_at_zero():
    model = seeded(lambda: MlpForRegression(MlpConfig(hidden_sizes=[200, 200], init_std=0.01)))
    weight = model.layers[1].weight.detach()
    assert weight.abs().max() <= 0.02
    assert weight.std().item() == pytest.approx(0.01 * 0.88, rel=0.02)  # a normal cut at two of its deviations
    assert all(not value.any() for name, value in model.named_parameters() if name.endswith("bias"))


def test_forward_is_the_written_out_network_and_its_mean_squared_error():
    model = tiny_mlp(dtype=torch.float64)
    x, y = torch.randn(7, 1, dtype=torch.float64), torch.randn(7, 1, dtype=torch.float64)
    hidden = x
    for layer in model.layers:
        hidden = (hidden @ layer.weight.T + layer.bias).clamp_min(0)
    expected = hidden @ model.head.weight.T + model.head.bias
    output = model(inputs=x, labels=y)
    torch.testing.assert_close(output.logits, expected)
    torch.testing.assert_close(output.loss, ((expected - y) ** 2).mean())
    assert model(inputs=x).loss is None


def test_several_outputs_and_one_hidden_layer():
    model = tiny_mlp(input_size=3, hidden_sizes=(5,), output_size=2)
    output = model(torch.randn(4, 3), torch.randn(4, 2))
    assert output.logits.shape == (4, 2)
    assert output.loss.shape == ()


def test_saved_and_opened_by_the_auto_classes(tmp_path):
    model = tiny_mlp()
    model.save_pretrained(tmp_path)
    opened = AutoModel.from_pretrained(tmp_path)
    assert isinstance(opened, MlpForRegression)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), MlpConfig)
    assert opened.config.hidden_sizes == [6, 6]
    for name, value in model.state_dict().items():
        assert torch.equal(value, opened.state_dict()[name])


def test_forward_over_stacked_parameters_equals_the_loop():
    model = tiny_mlp(dtype=torch.float64)
    stack = {name: value.detach() + torch.randn(3, *value.shape).double() for name, value in model.named_parameters()}
    x, y = torch.randn(3, 4, 1).double(), torch.randn(3, 4, 1).double()

    def loss(params, inputs, labels):
        return torch.func.functional_call(model, params, (inputs, labels)).loss

    together = torch.func.vmap(loss)(stack, x, y)
    each = [loss({name: value[t] for name, value in stack.items()}, x[t], y[t]) for t in range(3)]
    torch.testing.assert_close(together, torch.stack(each), rtol=1e-12, atol=0)


@pytest.mark.parametrize("sizes", [{"hidden_sizes": [4, 0]}, {"input_size": 0}, {"output_size": -1}])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(
        HfmetaError, match=r"an MLP with layer sizes \[.*\] cannot be built: every size must be at least 1"
    ):
        MlpConfig(**sizes)


def test_the_head_is_a_linear_layer():
    assert isinstance(tiny_mlp().head, nn.Linear)
