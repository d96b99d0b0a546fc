"""The cell of the learned rule: torch's LSTM cell, its written-out gradient, and pieces that change nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.inner.rules import cell
from hfmeta.inner.rules.cell import lstm_cell

T, M, D, P = 2, 4, 3, 7


def inputs():
    dice = torch.Generator().manual_seed(0)
    shapes = [(T, M, P), (T, D, P), (T, D, P), (4 * D, M + D), (4 * D,)]
    return [torch.randn(shape, generator=dice, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setitem(cell.COLUMNS, "cpu", 3)


def test_a_step_is_that_of_torchs_cell():
    x, h, c, weight, bias = inputs()
    theirs = nn.LSTMCell(M, D, dtype=torch.float64)
    i, f, o, g = weight.detach().split(D)
    rows = torch.cat([i, f, g, o])  # torch has the candidate before the output gate
    bi, bf, bo, bg = bias.detach().split(D)
    with torch.no_grad():
        theirs.weight_ih.copy_(rows[:, :M])
        theirs.weight_hh.copy_(rows[:, M:])
        theirs.bias_ih.copy_(torch.cat([bi, bf, bg, bo]))
        theirs.bias_hh.zero_()
    columns = [value.movedim(1, 2).reshape(T * P, -1) for value in (x, h, c)]
    for ours, expected in zip(lstm_cell(x, h, c, weight, bias), theirs(columns[0], tuple(columns[1:])), strict=True):
        torch.testing.assert_close(ours.movedim(1, 2).reshape(T * P, D), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("small_pieces")
def test_its_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(lstm_cell, inputs())


def test_pieces_change_nothing(small_pieces, monkeypatch):
    results = []
    for columns in (3, 100):
        monkeypatch.setitem(cell.COLUMNS, "cpu", columns)
        values = inputs()
        outputs = lstm_cell(*values)
        results.append([*outputs, *torch.autograd.grad(sum(out.square().sum() for out in outputs), values)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_inputs_that_are_constants_get_no_gradient():
    x, h, c, weight, bias = inputs()
    out, _ = lstm_cell(x.detach(), h, c, weight, bias)
    assert all(grad is not None for grad in torch.autograd.grad(out.sum(), [h, c, weight, bias]))


def test_what_a_step_keeps_are_its_inputs_alone():
    kept = []
    values = inputs()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda x: x):
        lstm_cell(*values)
    assert sum(kept) == sum(value.numel() for value in values)
