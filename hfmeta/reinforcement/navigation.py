"""The 2-D navigation tasks of the MAML paper, for many goals and trajectories at once: goals, dynamics, rollouts.

A task is a goal in a square; the state is a position, the action a velocity, the reward minus the squared distance to the goal. Not
here: the same world as a `gymnasium.Env` (`environment.py`), and what is learned from trajectories (`returns.py`, `practice.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Params
from hfmeta.reinforcement.policy import GaussianPolicy

HORIZON = 100
"""Steps after which a trajectory is cut off."""
GREATEST_VELOCITY = 0.1
"""Velocities are clipped to this in each direction."""
GOAL_RANGE = 0.5
"""Goals are uniform in the square from -0.5 to 0.5; every trajectory starts in its middle."""
CLOSE = 0.01
"""A trajectory ends within this distance of the goal."""


class Trajectories(NamedTuple):
    """N trajectories for each of T goals, H steps long; what lies behind a trajectory's end is not `alive`.

    Args:
        states: positions before each step `[T, N, H, 2]`.
        actions: what the policy drew `[T, N, H, 2]`, in units of the greatest velocity and before clipping.
        log_probs: of the actions under the policy that drew them `[T, N, H]`, nats.
        rewards: `[T, N, H]`, zero behind the end.
        alive: bool `[T, N, H]`, whether the step was taken.
    """

    states: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    alive: Tensor

    @property
    def returns(self) -> Tensor:
        """Undiscounted return of each goal, mean over its trajectories `[T]`."""
        return self.rewards.sum(-1).mean(-1)


def move(positions: Tensor, velocities: Tensor, goals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the world.

    Args:
        positions: `[..., 2]`.
        velocities: `[..., 2]`, clipped here to `GREATEST_VELOCITY` in each direction.
        goals: `[..., 2]`.

    Returns:
        The next positions `[..., 2]`, the rewards `[...]`, and whether the goal is reached `[...]`.

    Source: Finn, Abbeel, Levine 2017, section 5.3.
    """
    positions = positions + velocities.clamp(-GREATEST_VELOCITY, GREATEST_VELOCITY)
    squared = (positions - goals).square().sum(-1)
    return positions, -squared, squared < CLOSE**2


def draw_goals(seed: tuple[int, ...], count: int) -> Tensor:
    """Return goals `[count, 2]`, uniform in the square; a pure function of the seed.

    Args:
        seed: whole numbers of zero or more.
        count: how many, T.

    Raises:
        HfmetaError: a count below 1.
    """
    if count < 1:
        raise HfmetaError(f"at least one goal is needed, received {count}.")
    drawn = np.random.default_rng(list(seed)).uniform(-GOAL_RANGE, GOAL_RANGE, size=(count, 2))
    return torch.from_numpy(drawn.astype(np.float32))


def draw_noise(seed: tuple[int, ...], tasks: int, trajectories: int, horizon: int = HORIZON) -> Tensor:
    """Return standard normal numbers `[T, N, H, 2]`, all the chance there is in a rollout; a pure function of the seed.

    Args:
        seed: whole numbers of zero or more.
        tasks: goals, T.
        trajectories: for each goal, N.
        horizon: steps, H.

    Raises:
        HfmetaError: a size below 1.
    """
    if min(tasks, trajectories, horizon) < 1:
        raise HfmetaError(
            f"tasks, trajectories and horizon must be at least 1, received {tasks}, {trajectories} and {horizon}."
        )
    drawn = np.random.default_rng(list(seed)).standard_normal((tasks, trajectories, horizon, 2), dtype=np.float32)
    return torch.from_numpy(drawn)


@torch.no_grad()
def rollout(policy: GaussianPolicy, params: Params, goals: Tensor, noise: Tensor) -> Trajectories:
    """Act in every task with its own values of the policy.

    Args:
        policy: how values and positions give actions.
        params: the policy's values, `[T, ...]` each.
        goals: `[T, 2]`.
        noise: standard normal numbers `[T, N, H, 2]`, see `draw_noise`.
    """
    noise = noise.to(goals.dtype)
    positions = torch.zeros_like(noise[:, :, 0])
    alive = torch.ones_like(positions[..., 0], dtype=torch.bool)
    target = goals[:, None].expand_as(positions)
    steps: list[tuple[Tensor, ...]] = []
    for chance in noise.unbind(2):
        mean, log_std = policy(params, positions)
        action = mean + log_std.exp() * chance
        moved, reward, reached = move(positions, GREATEST_VELOCITY * action, target)
        steps.append((positions, action, reward * alive, alive))
        positions, alive = moved, alive & ~reached
    states, actions, rewards, taken = (torch.stack(column, dim=2) for column in zip(*steps, strict=True))
    return Trajectories(states, actions, policy.log_prob(params, states, actions), rewards, taken)
