"""How much the query loss after each inner step counts in the outer loss (MAML++'s multi-step loss and its annealing)."""

from __future__ import annotations

from hfmeta.algorithms import Algorithm


def step_weights(algorithm: Algorithm, progress: float) -> dict[int, float]:
    """Weights of the query losses after inner steps 1 to K; they sum to one.

    With `query_loss="every_step"` the weights start equal and move linearly to the last step, which alone counts once
    `query_loss_until` of the run is done; until then every earlier step keeps a little (Antoniou et al. 2019, section 4.1; floor as
    in the authors' code: 0.03 / K).

    Args:
        progress: share of the outer run that is done.
    """
    steps = algorithm.inner_steps
    if algorithm.query_loss == "last" or steps <= 1 or progress >= algorithm.query_loss_until:
        return {steps: 1.0}
    done = progress / algorithm.query_loss_until
    early = max((1 - done) / steps, 0.03 / steps)
    return {**dict.fromkeys(range(1, steps), early), steps: 1 - (steps - 1) * early}
