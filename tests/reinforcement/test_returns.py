"""Returns to go, the linear baseline and advantages against plain loops and numpy's least squares."""

from __future__ import annotations

import numpy as np
import torch

from hfmeta.inner.types import stack_expanded
from hfmeta.reinforcement import (
    GaussianPolicy,
    Trajectories,
    advantages,
    draw_noise,
    linear_baseline,
    returns_to_go,
    rollout,
)


def acted() -> Trajectories:
    """Two goals, four trajectories, twelve steps; the first goal is reached on the way."""
    policy = GaussianPolicy(hidden_sizes=(3,), initial_std=0.2, seed=1)
    with torch.no_grad():
        policy.biases[-1].copy_(torch.tensor([1.0, 0.0]))
    goals = torch.tensor([[0.3, 0.0], [-0.3, 0.2]])
    found = rollout(policy, stack_expanded(policy.theta(), 2), goals, draw_noise((0,), 2, 4, 12))
    ended = found.alive.clone()
    ended[0, 0, 7:] = False
    return found._replace(alive=ended, rewards=found.rewards * ended)


def test_returns_to_go():
    rewards = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 8.0]])
    torch.testing.assert_close(returns_to_go(rewards, 0.5), torch.tensor([[3.0, 4.0, 4.0], [2.0, 4.0, 8.0]]))
    torch.testing.assert_close(returns_to_go(rewards, 1.0), torch.tensor([[7.0, 6.0, 4.0], [8.0, 8.0, 8.0]]))
    torch.testing.assert_close(returns_to_go(rewards, 0.0), rewards)
    torch.testing.assert_close(returns_to_go(torch.ones(100), 0.9)[0], torch.tensor(10 * (1 - 0.9**100)))


def test_the_baseline_is_the_least_squares_of_each_task():
    found = acted()
    returns = returns_to_go(found.rewards, 0.99)
    fitted = linear_baseline(found.states, returns, found.alive)
    for t in range(2):
        alive = found.alive[t].flatten().numpy()
        states = found.states[t].reshape(-1, 2).double().numpy()
        time = np.tile(np.arange(12) / 100, 4)[:, None]
        features = np.concatenate([states, states**2, np.ones_like(time), time, time**2, time**3], axis=1)
        left, right = features[alive], returns[t].flatten().double().numpy()[alive]
        weights = np.linalg.solve(left.T @ left + 1e-5 * np.eye(8), left.T @ right)
        np.testing.assert_allclose(fitted[t].flatten().numpy(), features @ weights, rtol=1e-4, atol=1e-5)


def test_advantages_are_scaled_within_each_task():
    found = acted()
    gains = advantages(found, 0.99)
    assert (gains[~found.alive] == 0).all()
    for t in range(2):
        alive = gains[t][found.alive[t]]
        torch.testing.assert_close(alive.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(alive.square().mean(), torch.tensor(1.0), atol=1e-4, rtol=0)
    scaled = advantages(found._replace(rewards=10 * found.rewards), 0.99)
    torch.testing.assert_close(scaled, gains, atol=1e-3, rtol=1e-3)
