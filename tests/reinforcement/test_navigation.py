"""The batched world: dynamics, goals and noise as pure functions of their seeds, rollouts step by step, what lies behind the end."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.types import stack_expanded
from hfmeta.reinforcement import GaussianPolicy, draw_goals, draw_noise, move, rollout


def test_a_step_clips_moves_and_pays_the_squared_distance():
    positions, goals = torch.tensor([[0.0, 0.0], [0.2, 0.1]]), torch.tensor([[0.3, 0.0], [0.295, 0.0]])
    moved, rewards, reached = move(positions, torch.tensor([[0.5, -0.02], [0.1, -0.3]]), goals)
    torch.testing.assert_close(moved, torch.tensor([[0.1, -0.02], [0.3, 0.0]]))
    torch.testing.assert_close(rewards, torch.tensor([-(0.2**2 + 0.02**2), -(0.005**2)]))
    assert reached.tolist() == [False, True]


def test_goals_and_noise_are_functions_of_the_seed():
    goals = draw_goals((3, 1), 500)
    assert torch.equal(goals, draw_goals((3, 1), 500))
    assert not torch.equal(goals, draw_goals((3, 2), 500))
    assert goals.abs().max() <= 0.5
    assert goals.mean(0).abs().max() < 0.05
    noise = draw_noise((3, 1), 2, 3, 4)
    assert noise.shape == (2, 3, 4, 2)
    assert torch.equal(noise, draw_noise((3, 1), 2, 3, 4))
    with pytest.raises(HfmetaError, match="at least one goal is needed, received 0"):
        draw_goals((0,), 0)
    with pytest.raises(HfmetaError, match="tasks, trajectories and horizon must be at least 1, received 2, 0 and 100"):
        draw_noise((0,), 2, 0)


def test_a_rollout_is_its_steps_one_by_one():
    policy = GaussianPolicy(hidden_sizes=(5,), seed=1)
    params = {name: value.detach() * 3 for name, value in stack_expanded(policy.theta(), 2).items()}
    goals, noise = draw_goals((0,), 2), draw_noise((1,), 2, 3, 7)
    acted = rollout(policy, params, goals, noise)
    assert acted.states.shape == acted.actions.shape == (2, 3, 7, 2)
    for t in range(2):
        one = {name: value[t : t + 1] for name, value in params.items()}
        for n in range(3):
            position = torch.zeros(2)
            for h in range(7):
                torch.testing.assert_close(acted.states[t, n, h], position)
                mean, log_std = policy(one, position[None, None])
                action = mean[0, 0] + log_std[0, 0].exp() * noise[t, n, h]
                torch.testing.assert_close(acted.actions[t, n, h], action)
                spread = torch.distributions.Normal(mean[0, 0], log_std[0, 0].exp())
                torch.testing.assert_close(acted.log_probs[t, n, h], spread.log_prob(action).sum())
                position, reward, _ = move(position, 0.1 * action, goals[t])
                torch.testing.assert_close(acted.rewards[t, n, h], reward)
    torch.testing.assert_close(acted.returns, acted.rewards.sum(2).mean(1))
    assert not acted.log_probs.requires_grad


def test_nothing_is_paid_behind_the_end():
    policy = GaussianPolicy(hidden_sizes=(2,), initial_std=1e-6)
    with torch.no_grad():
        policy.biases[-1].copy_(torch.tensor([1.0, 0.0]))  # walks to the right
    acted = rollout(
        policy, stack_expanded(policy.theta(), 2), torch.tensor([[0.3, 0.0], [0.3, 0.2]]), draw_noise((0,), 2, 1, 9)
    )
    assert acted.alive[:, 0].tolist() == [[True] * 3 + [False] * 6, [True] * 9]
    assert (acted.rewards[0, 0, 3:] == 0).all()
    assert (acted.rewards[1] < 0).all()
