"""Task embeddings: the recurrent cell, reconstruction, order of the rows, and padding."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner.inits.task_gate import Gru, PooledEmbedding, RecurrentEmbedding, like

WHERE = like(torch.zeros(1, dtype=torch.float64))


def rows(T=3, S=5, m=4):
    return torch.randn(T, S, m, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_cell_resets_before_the_product_and_keeps_the_update_share():
    cell = Gru(4, 3, WHERE)
    x, h = rows()[:, 0], torch.randn(3, 3, dtype=torch.float64)
    gates = torch.sigmoid(x @ cell.from_input[:, :6] + h @ cell.gates + 1.0)
    reset, update = gates[:, :3], gates[:, 3:]
    candidate = torch.tanh(x @ cell.from_input[:, 6:] + (reset * h) @ cell.candidate)
    torch.testing.assert_close(cell(cell.read(x), h), update * h + (1 - update) * candidate)
    assert cell.bias.tolist() == [1.0] * 6 + [0.0] * 3, "gates start open, the candidate without bias"


def test_the_initial_values_are_glorot_on_the_joint_kernels():
    cell = Gru(20, 40, WHERE)
    gate, candidate = (6 / (60 + 80)) ** 0.5, (6 / (60 + 40)) ** 0.5
    assert 0.95 * gate < cell.gates.abs().max() <= gate
    assert 0.95 * candidate < cell.candidate.abs().max() <= candidate
    assert cell.from_input[:, :80].abs().max() <= gate
    embedding = RecurrentEmbedding(20, None, 40, True, WHERE)
    assert embedding.tell.abs().max() <= 2
    assert 0.7 < embedding.tell.std() < 1, "a normal of deviation 1, cut at 2"
    assert set(embedding.tell_bias.tolist()) == {0.1}


def test_recurrent_g_is_the_mean_of_the_states_and_the_rows_are_told_backwards():
    embedding, x = RecurrentEmbedding(4, None, 3, True, WHERE), rows()
    g, error = embedding(x, None)
    state, states = torch.zeros(3, 3, dtype=torch.float64), []
    for row in x.unbind(1):
        state = embedding.encoder(embedding.encoder.read(row), state)
        states.append(state)
    torch.testing.assert_close(g, torch.stack(states).mean(0))
    read, told = torch.zeros(3, 4, dtype=torch.float64), []
    for _ in range(5):
        state = embedding.decoder(embedding.decoder.read(read), state)
        read = state @ embedding.tell + embedding.tell_bias
        told.append(read)
    expected = (torch.stack(told[::-1], 1) - x).square().mean((1, 2))
    torch.testing.assert_close(error, expected)


def test_the_mapped_rows_are_what_is_told():
    embedding = RecurrentEmbedding(4, 6, 3, True, WHERE)
    assert embedding.map.weight.shape == (4, 6)
    assert embedding.tell.shape == (3, 6)
    _, error = embedding(rows(), None)
    grad = torch.autograd.grad(error.sum(), embedding.map.weight)[0]
    assert grad.any(), "the target is not detached"


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_pooled_reconstruction_is_half_the_mean_squared_error(pool):
    embedding, x = PooledEmbedding(4, 6, 3, pool, True, WHERE), rows()
    g, error = embedding(x, None)
    codes = torch.relu(embedding.code(torch.relu(embedding.encode(x))))
    pooled = codes.mean(1) if pool == "mean" else codes.amax(1)
    torch.testing.assert_close(g, torch.relu(embedding.out(pooled)))
    told = embedding.tell(torch.relu(embedding.decode(codes)))
    torch.testing.assert_close(error, 0.5 * (told - x).square().mean((1, 2)))


def test_the_order_of_the_rows_counts_a_little_for_the_recurrent_embedding_and_not_at_all_for_the_pooled_ones():
    x = rows(T=8, S=10)
    turned = x[:, torch.randperm(10, generator=torch.Generator().manual_seed(2))]
    for pool in ("mean", "max"):
        embedding = PooledEmbedding(4, 6, 3, pool, False, WHERE)
        torch.testing.assert_close(embedding(x, None)[0], embedding(turned, None)[0], rtol=1e-12, atol=1e-12)
    recurrent = RecurrentEmbedding(4, 6, 5, False, WHERE)
    one, other = recurrent(x, None)[0], recurrent(turned, None)[0]
    gap, spread = (one - other).norm(), (one - one.mean(0)).norm()
    assert 0 < gap < 0.7 * spread, "less than tasks differ"


@pytest.mark.parametrize("kind", ["rnn", "mean", "max"])
def test_padded_rows_change_nothing(kind):
    if kind == "rnn":
        embedding = RecurrentEmbedding(4, 6, 3, True, WHERE)
    else:
        embedding = PooledEmbedding(4, 6, 3, kind, True, WHERE)
    x = rows()
    alone = [embedding(x[t : t + 1, : 5 - t], None) for t in range(3)]
    real = torch.arange(5) < torch.tensor([[5], [4], [3]])
    together = embedding(torch.where(real.unsqueeze(-1), x, 7.0), real)
    for place in (0, 1):
        torch.testing.assert_close(together[place], torch.cat([one[place] for one in alone]))


def test_without_a_decoder_nothing_is_told():
    assert RecurrentEmbedding(4, 6, 3, False, WHERE)(rows(), None)[1] is None
    assert PooledEmbedding(4, 6, 3, "mean", False, WHERE)(rows(), None)[1] is None
