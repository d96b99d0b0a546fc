"""How good an action was: discounted returns, the linear baseline fitted to each task's trajectories, advantages."""

from __future__ import annotations

import torch
from torch import Tensor

from hfmeta.reinforcement.navigation import HORIZON, Trajectories

RIDGE = 1e-5


def returns_to_go(rewards: Tensor, discount: float) -> Tensor:
    """Discounted sum of a step's reward and all later ones.

    Args:
        rewards: `[..., H]`.
        discount: from 0 to 1.

    Returns:
        `[..., H]`.
    """
    steps = torch.arange(rewards.shape[-1], dtype=rewards.dtype, device=rewards.device)
    later = steps[:, None] - steps[None, :]  # how long after step s (column) step h (row) comes
    weights = torch.where(later >= 0, discount ** later.clamp(min=0), torch.zeros_like(later))
    return rewards @ weights


def linear_baseline(states: Tensor, returns: Tensor, alive: Tensor) -> Tensor:
    """Least squares of returns on state, squared state and three powers of time, fitted to each task on its own.

    Args:
        states: `[T, N, H, d]`.
        returns: `[T, N, H]`.
        alive: bool `[T, N, H]`; other steps are not fitted to.

    Returns:
        The expected returns `[T, N, H]`.

    Source: the linear feature baseline of Duan et al. 2016 (Benchmarking deep reinforcement learning for continuous control).
    """
    time = torch.arange(states.shape[2], dtype=torch.float64) / HORIZON
    powers = torch.stack([torch.ones_like(time), time, time**2, time**3], dim=-1).expand(*states.shape[:3], 4)
    position = states.double()
    features = torch.cat([position, position.square(), powers], dim=-1).flatten(1, 2)
    kept = features * alive.flatten(1, 2).unsqueeze(-1)
    size = features.shape[-1]
    left = kept.transpose(1, 2) @ features + RIDGE * torch.eye(size, dtype=torch.float64)
    right = kept.transpose(1, 2) @ returns.double().flatten(1, 2).unsqueeze(-1)
    return (features @ torch.linalg.solve(left, right)).reshape(returns.shape).to(returns.dtype)


def advantages(trajectories: Trajectories, discount: float) -> Tensor:
    """Return to go less the linear baseline, scaled to mean 0 and standard deviation 1 over the steps of each task.

    Args:
        trajectories: N for each of T goals.
        discount: from 0 to 1.

    Returns:
        `[T, N, H]`, zero behind a trajectory's end.
    """
    returns = returns_to_go(trajectories.rewards, discount)
    raw = returns - linear_baseline(trajectories.states, returns, trajectories.alive)
    alive = trajectories.alive.to(raw.dtype)
    count = alive.sum((1, 2), keepdim=True)
    centred = (raw - (raw * alive).sum((1, 2), keepdim=True) / count) * alive
    spread = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    return centred / (spread + 1e-8)
