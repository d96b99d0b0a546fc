"""Adaptation of policies by the one inner loop: its meta-gradient against finite differences, a hand-written update, recomputation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hfmeta.inner import HfmetaError
from hfmeta.inner.types import stack_expanded
from hfmeta.reinforcement import GaussianPolicy, Practice, adapted, advantages, draw_goals, surrogate_losses

RATE = 0.5


def small(seed: int = 4) -> GaussianPolicy:
    """A policy with real leanings, in double."""
    policy = GaussianPolicy(hidden_sizes=(3,), initial_std=0.7, seed=seed).double()
    with torch.no_grad():
        policy.weights[-1].mul_(100)
        policy.biases[0].add_(0.3)  # away from the corner of the ReLU, which no trajectory's start would leave
    return policy


def acted(policy: GaussianPolicy, surrogate: str, rates: tuple[float, ...] = (RATE,), order: int | None = 2):
    practice = Practice(policy, draw_goals((1,), 2).double(), 3, (5,), surrogate=surrogate)
    stacks = list(adapted(policy, practice, rates, order))
    return practice, stacks


def post_update_loss(policy: GaussianPolicy, practice: Practice) -> Tensor:
    """The outer loss written out by hand: trajectories of both steps, their likelihoods and gains are constants."""
    theta = stack_expanded(policy.theta(), 2)
    theta = (
        {name: value.clone().requires_grad_() for name, value in theta.items()}
        if not torch.is_grad_enabled()
        else theta
    )
    before, after = practice.seen
    with torch.enable_grad():
        inner = surrogate_losses(policy, theta, before, advantages(before, practice.discount), practice.surrogate)
        grads = torch.autograd.grad(inner.sum(), list(theta.values()), create_graph=True)
    moved = {name: value - RATE * grad for (name, value), grad in zip(theta.items(), grads, strict=True)}
    return surrogate_losses(policy, moved, after, advantages(after, practice.discount), practice.surrogate).mean()


@pytest.mark.parametrize("surrogate", ["ratio", "score"])
def test_the_exact_meta_gradient_is_that_of_finite_differences(surrogate):
    policy = small()
    practice, stacks = acted(policy, surrogate)
    loss = practice(stacks[-1], 1).mean()
    values = list(policy.parameters())
    grads = torch.autograd.grad(loss, values)
    with torch.no_grad():
        torch.testing.assert_close(post_update_loss(policy, practice), loss.detach(), rtol=1e-10, atol=1e-12)
        step = 1e-7  # small, so that no state crosses a corner of the ReLU, where the inner gradient jumps
        for value, grad in zip(values, grads, strict=True):
            flat, slopes = value.view(-1), []
            for place in range(flat.numel()):
                kept = flat[place].item()
                sides = []
                for sign in (1, -1):
                    flat[place] = kept + sign * step
                    sides.append(post_update_loss(policy, practice).item())
                flat[place] = kept
                slopes.append((sides[0] - sides[1]) / (2 * step))
            torch.testing.assert_close(grad.flatten(), torch.tensor(slopes, dtype=torch.float64), rtol=1e-4, atol=1e-6)


def test_first_order_is_the_gradient_at_the_adapted_values():
    policy = small()
    values = list(policy.parameters())
    practice, stacks = acted(policy, "ratio", order=1)
    first = torch.autograd.grad(practice(stacks[-1], 1).mean(), values)
    moved = {name: value.detach().requires_grad_() for name, value in stacks[-1].items()}
    by_hand = torch.autograd.grad(practice(moved, 1).mean(), list(moved.values()))
    for grad, stacked in zip(first, by_hand, strict=True):
        torch.testing.assert_close(grad, stacked.sum(0))
    exact_practice, exact_stacks = acted(policy, "ratio", order=2)
    exact = torch.autograd.grad(exact_practice(exact_stacks[-1], 1).mean(), values)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(first, exact, strict=True))


def test_both_surrogates_take_the_same_step_and_differ_in_curvature():
    policy = small()
    (ratio, ratio_stacks), (score, score_stacks) = acted(policy, "ratio"), acted(policy, "score")
    for name, value in ratio_stacks[-1].items():
        torch.testing.assert_close(value, score_stacks[-1][name])
    values = list(policy.parameters())
    one = torch.autograd.grad(ratio(ratio_stacks[-1], 1).mean(), values)
    other = torch.autograd.grad(score(score_stacks[-1], 1).mean(), values)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(one, other, strict=True))


def test_a_step_is_the_policy_gradient():
    policy = small()
    practice, (start, after) = acted(policy, "score", order=None)
    before = practice.seen[0]
    gains = advantages(before, 0.99)
    for t in range(2):
        own = {name: value[t : t + 1].detach().requires_grad_() for name, value in start.items()}
        log_probs = policy.log_prob(own, before.states[t : t + 1], before.actions[t : t + 1])
        count = before.alive[t].sum()
        objective = (log_probs * gains[t : t + 1] * before.alive[t : t + 1]).sum() / count
        for (name, value), grad in zip(own.items(), torch.autograd.grad(objective, list(own.values())), strict=True):
            torch.testing.assert_close(after[name][t], (value + RATE * grad)[0].detach())
    assert not any(value.requires_grad for value in after.values())


def test_every_update_has_its_own_rate_and_trajectories():
    policy = small()
    practice, stacks = acted(policy, "ratio", rates=(0.4, 0.2, 0.1), order=None)
    assert len(stacks) == 4
    assert len(practice.seen) == 3
    practice.act(stacks[3], 3)
    assert not torch.equal(practice.seen[0].actions, practice.seen[1].actions)
    for step, rate in enumerate((0.4, 0.2, 0.1)):
        start = {name: value.clone().requires_grad_() for name, value in stacks[step].items()}
        grads = torch.autograd.grad(practice(start, step).sum(), list(start.values()))
        for (name, value), grad in zip(stacks[step].items(), grads, strict=True):
            torch.testing.assert_close(stacks[step + 1][name], value - rate * grad)
    again, repeated = acted(policy, "ratio", rates=(0.4, 0.2, 0.1), order=None)
    assert all(torch.equal(stacks[3][name], repeated[3][name]) for name in stacks[3])
    seen = len(again.seen)
    again.act(stacks[0], 0)
    assert len(again.seen) == seen, "a step that is run again is the same step"


def test_no_update_is_the_start_itself():
    policy = small()
    practice, (start,) = acted(policy, "ratio", rates=(), order=1)
    practice(start, 0).mean().backward()
    assert all(value.grad is not None for value in policy.parameters())


def test_refusals():
    policy = small()
    goals = draw_goals((1,), 2).double()
    with pytest.raises(HfmetaError, match="discount must be from 0 to 1, not 1.5"):
        Practice(policy, goals, 3, (5,), discount=1.5)
    with pytest.raises(HfmetaError, match="inner rates must be positive numbers, not 0.0"):
        adapted(policy, Practice(policy, goals, 3, (5,)), (0.1, 0.0))
    with pytest.raises(HfmetaError, match="surrogate must be one of ratio, score, not 'dice'"):
        acted(policy, "dice")
    with pytest.raises(HfmetaError, match=r"order must be 1 .first order. or 2 .exact., not 3"):
        acted(policy, "ratio", order=3)
