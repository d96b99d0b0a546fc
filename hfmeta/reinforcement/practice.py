"""The policy-gradient loss of a stack of tasks, and adaptation with it by the one inner loop.

What the exact meta-gradient of order 2 is here: the derivative of the post-update loss through the inner updates with the sampled
trajectories held fixed, the post-update trajectories being sampled from the adapted policy. Two things are worth knowing.

- *The inner loss decides the second derivative.* `score`, -log pi(a|s) A, has the right first derivative, but its second one lacks the
  products of scores that the second derivative of an expected return has. `ratio`, -(pi(a|s) / pi_old(a|s)) A with pi_old a constant,
  has the same first derivative and, step by step, those products too (the low-variance curvature of Rothfuss et al. 2019; the products
  across different steps of a trajectory that DiCE keeps, Foerster et al. 2018, are left out). As published, MAML uses the former.
- *The trajectories of the inner update depend on the start too.* That the start makes other trajectories likelier, and so other
  updates, is a term of its own (E-MAML, Stadie et al. 2018). As in the MAML paper it is left out at both orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hfmeta.inner import GradientMode, HfmetaError, Params, inner_loop
from hfmeta.inner.rules import Sgd
from hfmeta.inner.types import stack_expanded
from hfmeta.reinforcement.navigation import Trajectories, draw_noise, rollout
from hfmeta.reinforcement.policy import GaussianPolicy
from hfmeta.reinforcement.returns import advantages

SURROGATES = ("ratio", "score")


def surrogate_losses(
    policy: GaussianPolicy, params: Params, trajectories: Trajectories, gains: Tensor, surrogate: str = "ratio"
) -> Tensor:
    """The losses whose gradient is minus the policy gradient, mean over the steps of each task.

    Args:
        policy: how values give likelihoods.
        params: `[T, ...]` each.
        trajectories: N for each of T goals; constants.
        gains: advantages `[T, N, H]`; constants.
        surrogate: `ratio` or `score`; see the head of this file.

    Returns:
        `[T]`.

    Raises:
        HfmetaError: another surrogate.

    Source: Williams 1992 (REINFORCE); Rothfuss et al. 2019 (ProMP) for the ratio.
    """
    if surrogate not in SURROGATES:
        raise HfmetaError(f"surrogate must be one of {', '.join(SURROGATES)}, not {surrogate!r}.")
    log_probs = policy.log_prob(params, trajectories.states, trajectories.actions)
    likely = log_probs if surrogate == "score" else (log_probs - trajectories.log_probs).exp()
    # Gains are zero behind the end, but an exploded ratio times zero would not be.
    likely = torch.where(trajectories.alive, likely, torch.zeros_like(likely))
    return -(likely * gains).sum((1, 2)) / trajectories.alive.sum((1, 2))


class Practice:
    """Acting in T tasks, afresh before every inner step: the `losses_of` of the inner loop.

    A step's trajectories are drawn at its first visit and kept, so that a step that is run again is the same step.

    Args:
        policy: the policy.
        goals: `[T, 2]`.
        trajectories: for each goal and step, N.
        seed: whole numbers; with the index of the inner step they give all chance.
        discount: of later rewards.
        surrogate: see `surrogate_losses`.

    Attributes:
        seen: the trajectories of every step so far.
    """

    def __init__(
        self,
        policy: GaussianPolicy,
        goals: Tensor,
        trajectories: int,
        seed: tuple[int, ...],
        discount: float = 0.99,
        surrogate: str = "ratio",
    ):
        if not 0 <= discount <= 1:
            raise HfmetaError(f"discount must be from 0 to 1, not {discount!r}.")
        self.policy, self.goals, self.trajectories = policy, goals, trajectories
        self.seed, self.discount, self.surrogate = seed, discount, surrogate
        self.seen: list[Trajectories] = []
        self._gains: list[Tensor] = []

    def act(self, params: Params, step: int) -> Trajectories:
        """Trajectories of the policy with the values of inner step `step`, drawn once.

        Args:
            params: `[T, ...]` each.
            step: index from 0; steps come in order.
        """
        if step == len(self.seen):
            noise = draw_noise((*self.seed, step), len(self.goals), self.trajectories)
            self.seen.append(rollout(self.policy, params, self.goals, noise))
            self._gains.append(advantages(self.seen[step], self.discount))
        return self.seen[step]

    def __call__(self, params: Params, step: int) -> Tensor:
        """Losses `[T]` of the values at inner step `step`."""
        acted = self.act(params, step)
        return surrogate_losses(self.policy, params, acted, self._gains[step], self.surrogate)


def adapted(
    policy: GaussianPolicy, practice: Practice, rates: Sequence[float], order: int | None = None
) -> Iterator[Params]:
    """Yield the values of every task before and after each policy-gradient update: `len(rates) + 1` stacks.

    Args:
        policy: holds the start, the same for all tasks.
        practice: acts and gives the losses.
        rates: the inner rate of each update; the MAML paper halves it after the first.
        order: 2 for the exact meta-gradient (see the head of this file), 1 for first order; None: no outer gradient is wanted.

    Raises:
        HfmetaError: a rate that is not positive.
    """
    if wrong := [rate for rate in rates if not 0 < rate < float("inf")]:
        raise HfmetaError(f"inner rates must be positive numbers, not {wrong[0]!r}.")
    mode = GradientMode(track=False) if order is None else GradientMode(order=order)
    theta = policy.theta()
    rule = Sgd(theta, rates[0] if rates else 1.0, rates="scalar", steps=max(1, len(rates)))
    with torch.no_grad():  # rates given one by one are the learned rates of a rule that nobody trains
        rule.alpha["all"].copy_(torch.tensor(list(rates) or [1.0]))
    rule.requires_grad_(False)
    start = stack_expanded(theta, len(practice.goals))
    return inner_loop(practice, start, rule, steps=len(rates), mode=mode)
