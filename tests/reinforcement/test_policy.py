"""The Gaussian policy: stacked values against plain layers, likelihoods against torch's, the drawn start, refusals."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.types import stack_expanded
from hfmeta.reinforcement import GaussianPolicy


def test_every_task_acts_by_its_own_values():
    policy = GaussianPolicy(state_size=3, action_size=2, hidden_sizes=(4, 5), seed=2).double()
    draw = torch.Generator().manual_seed(0)
    params = {
        name: value + torch.randn(value.shape, generator=draw, dtype=value.dtype)
        for name, value in stack_expanded(policy.theta(), 2).items()
    }
    states = torch.randn(2, 6, 7, 3, generator=draw, dtype=torch.float64)
    actions = torch.randn(2, 6, 7, 2, generator=draw, dtype=torch.float64)
    mean, log_std = policy(params, states)
    assert mean.shape == (2, 6, 7, 2)
    log_probs = policy.log_prob(params, states, actions)
    for t in range(2):
        hidden = states[t]
        for layer in range(3):
            hidden = hidden @ params[f"weights.{layer}"][t] + params[f"biases.{layer}"][t]
            hidden = hidden.relu() if layer < 2 else hidden
        torch.testing.assert_close(mean[t], hidden)
        spread = torch.distributions.Normal(hidden, params["log_std"][t].exp())
        torch.testing.assert_close(log_probs[t], spread.log_prob(actions[t]).sum(-1))
    assert log_std.shape == (2, 1, 1, 2)


def test_the_start_is_drawn_from_the_seed_and_leans_nowhere():
    state = torch.get_rng_state()
    first, again, other = (GaussianPolicy(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state), "no global generator is touched"
    assert sum(value.numel() for value in first.parameters()) == 2 * 100 + 100 + 100 * 100 + 100 + 200 + 2 + 2
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.weights[0], other.weights[0])
    mean, log_std = first(stack_expanded(first.theta(), 1), torch.rand(1, 50, 2))
    assert mean.abs().max() < 0.05
    assert log_std.exp().flatten().tolist() == [1, 1]
    tiny = {
        name: value - 99 if name == "log_std" else value for name, value in stack_expanded(first.theta(), 1).items()
    }
    assert first(tiny, torch.zeros(1, 1, 2))[1].exp().min().item() == pytest.approx(1e-6)


@pytest.mark.parametrize("options", [{"hidden_sizes": (0,)}, {"initial_std": 0.0}, {"action_size": 0}])
def test_impossible_policies(options):
    with pytest.raises(
        HfmetaError, match="a policy needs sizes of at least 1 and a positive standard deviation; received"
    ):
        GaussianPolicy(**options)
