"""Checks of hfmeta/models/lstm_seq2seq/recurrence.py: padding, and both derivatives of both implementations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from hfmeta.models.lstm_seq2seq import recurrence
from hfmeta.models.lstm_seq2seq.recurrence import LstmLayer, fused_lstm, looped_lstm
from tiny import seeded

MASKS = {
    "none": None,
    "right": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]],
    "both": [[1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]],
    "gaps": [[1, 0, 1, 1, 1], [0, 1, 0, 1, 0], [1, 1, 0, 0, 1]],
    "empty row": [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]],
}


def layer(dtype=torch.float64, sizes=(4, 3)):
    return seeded(lambda: LstmLayer(*sizes), dtype=dtype)


def inputs(dtype=torch.float64, size=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 5, size, generator=generator, dtype=torch.float64).to(dtype)


def mask_of(name):
    return None if MASKS[name] is None else torch.tensor(MASKS[name]).bool()


def stock_cell(model):
    """An nn.LSTMCell with the same weights: the independent account of one step."""
    cell = nn.LSTMCell(model.weight_ih.shape[1], model.weight_hh.shape[1]).to(model.weight_ih.dtype)
    cell.load_state_dict(model.state_dict())
    return cell


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_row_is_read_as_if_it_were_alone_and_without_padding(mask, grad, dtype):
    model, x, where = layer(dtype), inputs(dtype), mask_of(mask)
    cell = stock_cell(model)
    with torch.set_grad_enabled(grad):
        outputs, last = model(x, where)
    for row in range(3):
        state = memory = torch.zeros(3, dtype=dtype)
        for t in range(5):
            if where is None or where[row, t]:
                state, memory = (value[0] for value in cell(x[row, t][None], (state[None], memory[None])))
                torch.testing.assert_close(outputs[row, t], state)
        torch.testing.assert_close(last[row], memory)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-15), (torch.float32, 2e-7)])
def test_much_padding_changes_the_fused_kernel_in_nothing_but_rounding(dtype, close):
    model, x = layer(dtype), inputs(dtype)
    weights = list(model.parameters())
    outputs, cell = fused_lstm(x, None, *weights)
    around = torch.nn.functional.pad(x, (0, 0, 40, 60), value=7.0)
    mask = torch.zeros(3, 105, dtype=torch.bool)
    mask[:, 40:45] = True
    padded, padded_cell = fused_lstm(around, mask, *weights)
    torch.testing.assert_close(padded_cell, cell, rtol=0, atol=close)
    torch.testing.assert_close(padded[:, 40:45], outputs, rtol=0, atol=close)
    assert not padded[:, :40].any()


@pytest.mark.parametrize("mask", ["none", "right", "left", "both", "gaps"])
def test_first_and_second_derivatives_agree_with_finite_differences(mask):
    model, x, where = layer(sizes=(2, 2)), inputs(size=2).requires_grad_(), mask_of(mask)
    weights = [value.detach().requires_grad_() for value in model.parameters()]
    names = [name for name, _ in model.named_parameters()]

    def results(x, *weights):
        outputs, cell = functional_call(model, dict(zip(names, weights, strict=True)), (x, where))
        return (outputs if where is None else outputs * where[..., None]), cell

    assert torch.autograd.gradcheck(results, (x, *weights))
    assert torch.autograd.gradgradcheck(results, (x, *weights))


def test_derivatives_of_the_fused_kernel_are_those_of_the_loop():
    model, x, where = layer(torch.float32, (16, 16)), inputs(torch.float32, 16).requires_grad_(), mask_of("right")
    values = [x, *model.parameters()]

    def derivatives(function, *values):
        outputs, cell = function(values[0], where, *values[1:])
        loss = (outputs * where[..., None]).square().sum() + cell.pow(3).sum()
        first = torch.autograd.grad(loss, values, create_graph=True)
        return first, torch.autograd.grad(sum(one.square().sum() for one in first), values)

    double = [value.detach().double().requires_grad_() for value in values]
    expected = derivatives(looped_lstm, *double)
    found = derivatives(lambda x, mask, *weights: model(x, mask), *values)
    loss = sum(value.sum() for value in (lambda o, c: ((o * where[..., None]).square(), c.pow(3)))(*model(x, where)))
    once = torch.autograd.grad(loss, values)  # without a graph: by the kernel
    for some, others in ((once, expected[0]), (found[0], expected[0]), (found[1], expected[1])):
        for one, other in zip(some, others, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)


def test_the_loop_serves_second_derivatives_only(monkeypatch):
    model, x = layer(), inputs()

    def refuse(*_):
        raise RuntimeError("the loop was called")

    monkeypatch.setattr(recurrence, "looped_lstm", refuse)
    model(x)[0].sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="the loop was called"):
        torch.autograd.grad(model(x)[0].sum(), list(model.parameters()), create_graph=True)


def test_a_gradient_can_be_asked_for_twice_and_for_some_tensors_only():
    model, x = layer(), inputs()
    model.weight_ih.requires_grad_(False)
    outputs, _ = model(x, mask_of("right"))
    first = torch.autograd.grad(outputs.sum(), [model.weight_hh], retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(outputs.sum(), [model.weight_hh])[0])
    assert not layer().requires_grad_(False)(x)[0].requires_grad


def test_vmap_over_stacked_weights_and_rows():
    model, where = layer(), mask_of("both")
    x = torch.stack([inputs(), 2 * inputs()])
    stacked = {name: torch.stack([value, value + 0.1]).detach() for name, value in model.named_parameters()}
    found = vmap(lambda own, x: functional_call(model, own, (x, where)))(stacked, x)
    for task in range(2):
        own = {name: value[task] for name, value in stacked.items()}
        for one, other in zip(found, functional_call(model, own, (x[task], where)), strict=True):
            other = other * where[..., None] if other.dim() == 3 else other
            one = one[task] * where[..., None] if other.dim() == 3 else one[task]
            torch.testing.assert_close(one, other)


def test_autocast_leaves_the_layer_in_its_own_precision():
    model, x = layer(torch.float32), inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, cell = model(x.bfloat16())
        assert outputs.dtype == cell.dtype == torch.float32
        gradients = torch.autograd.grad(outputs.sum(), list(model.parameters()), create_graph=True)
        second = torch.autograd.grad(gradients[0].square().sum(), list(model.parameters()))
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in second)


def test_weights_are_drawn_as_torch_draws_an_lstms():
    model = layer(sizes=(50, 100))
    assert all(value.abs().max() <= 0.1 for value in model.parameters())
    assert model.weight_hh.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert {name: value.shape for name, value in model.named_parameters()} == {
        name: value.shape for name, value in nn.LSTMCell(50, 100).named_parameters()
    }
    assert repr(model) == "LstmLayer(50, 100)"
