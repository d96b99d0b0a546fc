"""The 2-D navigation task as a `gymnasium.Env`, for users and for other libraries' agents; needs `pip install hfmeta[rl]`.

It is the world of `navigation.py`, one trajectory at a time: equal actions give equal positions and rewards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.reinforcement.navigation import GOAL_RANGE, GREATEST_VELOCITY, HORIZON, move

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise HfmetaError("the navigation environment needs gymnasium: pip install hfmeta[rl].") from error

Position = npt.NDArray[np.float32]


class Navigation(gymnasium.Env[Position, Position]):
    """A point that is to find a goal it cannot see.

    Observations are positions, float32 `[2]`; actions are velocities, float32 `[2]`, clipped to 0.1 in each direction; the reward is
    minus the squared distance to the goal. A trajectory starts at the origin, ends within 0.01 of the goal and is cut off after 100
    steps. `info["goal"]` holds the goal.

    Args:
        goal: the task, two numbers; None: every reset draws one from the square -0.5 to 0.5, by the environment's own generator.

    Raises:
        HfmetaError: a goal that is not two finite numbers.

    Source: Finn, Abbeel, Levine 2017, section 5.3.

    Example:
        >>> world = Navigation(goal=(0.3, -0.2))
        >>> state, info = world.reset(seed=0)
        >>> world.step(np.array([0.1, -0.1], dtype=np.float32))[0].tolist() == np.float32([0.1, -0.1]).tolist()
        True
    """

    def __init__(self, goal: tuple[float, float] | Position | None = None):
        reach = HORIZON * GREATEST_VELOCITY
        self.observation_space = spaces.Box(-reach, reach, shape=(2,), dtype=np.float32)
        self.action_space = spaces.Box(-GREATEST_VELOCITY, GREATEST_VELOCITY, shape=(2,), dtype=np.float32)
        self.task = None if goal is None else _goal(goal)
        self._goal = np.zeros(2, np.float32) if self.task is None else self.task
        self._position = np.zeros(2, np.float32)
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Position, dict[str, Any]]:
        """Start a trajectory.

        Args:
            seed: seeds the environment's generator.
            options: `{"goal": (x, y)}` sets the goal of this trajectory.

        Raises:
            HfmetaError: a goal that is not two finite numbers, or another option.
        """
        super().reset(seed=seed)
        if unknown := sorted(set(options or {}) - {"goal"}):
            raise HfmetaError(f"reset knows the option goal, not {', '.join(unknown)}.")
        if options:
            self._goal = _goal(options["goal"])
        elif self.task is None:
            self._goal = self.np_random.uniform(-GOAL_RANGE, GOAL_RANGE, size=2).astype(np.float32)
        else:
            self._goal = self.task
        self._position, self._steps = np.zeros(2, np.float32), 0
        return self._position.copy(), {"goal": self._goal.copy()}

    def step(self, action: Position) -> tuple[Position, float, bool, bool, dict[str, Any]]:
        """Move by a velocity `[2]`; returns position, reward, whether the goal is reached, whether time is up, and the goal.

        Raises:
            HfmetaError: an action that is not two finite numbers.
        """
        velocity = _pair(action, "an action")
        sides = (torch.from_numpy(array) for array in (self._position, velocity, self._goal))
        position, reward, reached = move(*sides)
        self._position, self._steps = position.numpy(), self._steps + 1
        done = bool(reached)
        return (
            self._position.copy(),
            float(reward),
            done,
            not done and self._steps >= HORIZON,
            {"goal": self._goal.copy()},
        )


def _goal(value: Any) -> Position:
    return _pair(value, "a goal")


def _pair(value: Any, what: str) -> Position:
    """Return two finite numbers as float32 `[2]`, or raise the error that says what was received."""
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        array = np.empty(0, np.float32)
    if array.shape != (2,) or not np.isfinite(array).all():
        raise HfmetaError(f"{what} is two finite numbers (x, y), received {value!r}.")
    return array
