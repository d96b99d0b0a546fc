"""The gymnasium environment: the library's own checker, the same numbers as the batched world, goals, refusals."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from hfmeta.inner import HfmetaError
from hfmeta.inner.types import stack_expanded
from hfmeta.reinforcement import GaussianPolicy, draw_goals, draw_noise, rollout
from hfmeta.reinforcement.environment import Navigation


def test_it_passes_the_checker_of_gymnasium():
    check_env(Navigation(), skip_render_check=True)
    check_env(Navigation(goal=(0.1, -0.2)), skip_render_check=True)


def test_one_trajectory_at_a_time_is_the_batched_world():
    policy = GaussianPolicy(hidden_sizes=(8,), initial_std=0.03, seed=3)
    with torch.no_grad():
        policy.biases[-1].copy_(torch.tensor([0.99, 0.0]))
    goals = draw_goals((2,), 4)
    goals[0] = torch.tensor([0.3, 0.0])  # on the way of this policy, which walks to the right
    acted = rollout(policy, stack_expanded(policy.theta(), 4), goals, draw_noise((5,), 4, 5))
    ended = 0
    for t, goal in enumerate(goals):
        world = Navigation(goal.numpy())
        for n in range(5):
            state, info = world.reset()
            assert (info["goal"] == goal.numpy()).all()
            for h in range(100):
                assert acted.alive[t, n, h]
                np.testing.assert_array_equal(state, acted.states[t, n, h].numpy())
                state, reward, terminated, truncated, _ = world.step(0.1 * acted.actions[t, n, h].numpy())
                assert reward == pytest.approx(float(acted.rewards[t, n, h]), abs=1e-7)
                assert truncated == (h == 99 and not terminated)
                if terminated:
                    ended += 1
                    assert not acted.alive[t, n, h + 1 :].any()
                    break
    assert ended


def test_goals_are_drawn_by_its_own_generator_or_given():
    world = Navigation()
    first, again, other = (world.reset(seed=seed)[1]["goal"] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert np.abs(first).max() <= 0.5
    goal = world.reset(options={"goal": (0.4, 0.1)})[1]["goal"]
    np.testing.assert_array_equal(goal, np.float32([0.4, 0.1]))
    assert (world.reset()[1]["goal"] != goal).any()
    fixed = Navigation(goal=(0.4, 0.1))
    fixed.reset(options={"goal": (0.0, 0.1)})
    np.testing.assert_array_equal(fixed.reset()[1]["goal"], np.float32([0.4, 0.1]))


def test_refusals(monkeypatch):
    with pytest.raises(HfmetaError, match=r"a goal is two finite numbers \(x, y\), received \(1, 2, 3\)"):
        Navigation(goal=(1, 2, 3))  # type: ignore[arg-type]
    world = Navigation()
    world.reset(seed=0)
    with pytest.raises(HfmetaError, match="an action is two finite numbers .*, received 'left'"):
        world.step("left")  # type: ignore[arg-type]
    with pytest.raises(HfmetaError, match="an action is two finite numbers .*nan"):
        world.step(np.array([np.nan, 0], dtype=np.float32))
    with pytest.raises(HfmetaError, match="reset knows the option goal, not target"):
        world.reset(options={"target": (0, 0)})
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "hfmeta.reinforcement.environment")
    with pytest.raises(HfmetaError, match=r"needs gymnasium: pip install hfmeta\[rl\]"):
        importlib.import_module("hfmeta.reinforcement.environment")
