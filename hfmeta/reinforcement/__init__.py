"""Reinforcement learning on the same inner loop: the MAML paper's 2-D navigation, a Gaussian policy, policy-gradient adaptation.

`hfmeta.reinforcement.environment` has the same world as a `gymnasium.Env`; it needs the extra `rl`, the rest does not. Training is a
script: `recipes/navigation/train.py`.
"""

from hfmeta.reinforcement.navigation import Trajectories, draw_goals, draw_noise, move, rollout
from hfmeta.reinforcement.policy import GaussianPolicy
from hfmeta.reinforcement.practice import Practice, adapted, surrogate_losses
from hfmeta.reinforcement.returns import advantages, linear_baseline, returns_to_go

__all__ = [
    "GaussianPolicy",
    "Practice",
    "Trajectories",
    "adapted",
    "advantages",
    "draw_goals",
    "draw_noise",
    "linear_baseline",
    "move",
    "returns_to_go",
    "rollout",
    "surrogate_losses",
]
