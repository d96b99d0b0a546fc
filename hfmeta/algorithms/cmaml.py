"""CMAML: every task cuts a private network of its own out of a common one (Song et al. 2020, arXiv 1910.14326).

Here: the options. The private network's structure: hfmeta.adapters.pruning; who owns which part of it: hfmeta.learner.private; the
three phases of a run: hfmeta.phases.
"""

from __future__ import annotations

from dataclasses import dataclass

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.errors import HfmetaError


@dataclass
class Cmaml(Algorithm):
    """Customised MAML: MAML pretraining, then a mask per task, then joint training with each task's private edges its own.

    A run has three phases: plain MAML for the share `pretrain_until` of its steps; then every training task fine-tunes with L1 and
    prunes the private network to its mask (Algorithm 1); then joint training (equations 2 to 5), where a task sees and moves the
    private edges that it kept, and each private edge learns from the tasks that kept it. A new task prunes, then adapts.

    Args (besides those of `Algorithm`, where the paper's values are the defaults here):
        adapt: `all` moves shared, gate and private values in the inner loop (the paper); `private` the private ones alone, shared and
            gate then learn in the outer loop: what banks, mixed batches and published private adapters serve.
        masks: `forward`: a pruned edge is zero wherever the network is evaluated; `gradient`: pruned edges stay as they are and do not
            move in the inner loop (the authors' code).
        gamma: an edge stays if its absolute weight exceeds it; None: 0.05, unless `keep_ratio` is given.
        keep_ratio: share of each thinnable layer's edges to keep, instead of gamma.
        granularity: `edge`, `node`, or `rank` for LoRA; None: by what the private network is made of.
        pretrain_until: share of the run that is plain MAML.
        prune_steps: passes of fine-tuning before pruning, for training tasks.
        test_prune_steps: the same for new tasks (None: `prune_steps`).
        prune_lr: rate of Adam on the private network in that fine-tuning; None: the inner rule, as in the paper. Where the gate lets
            little gradient through, plain steps move private weights by less than L1 does, and all tasks prune alike.
        prune_l1: weight of the L1 norm of the private weights in that fine-tuning.
        prune_proximal: shrink by soft thresholding, which reaches zero, instead of adding L1 to the loss, which does not.
        reset_after_prune: new tasks adapt from the learned values, not from those fine-tuned for pruning.
    """

    order: int = 1
    inner_batch_size: int | None = 16
    masks: str = "forward"
    gamma: float | None = None
    keep_ratio: float | None = None
    granularity: str | None = None
    pretrain_until: float = 0.2
    prune_steps: int = 5
    test_prune_steps: int | None = 4
    prune_lr: float | None = None
    prune_l1: float = 1e-3
    prune_proximal: bool = False
    reset_after_prune: bool = False

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        super().__post_init__()
        problems = []
        if self.masks not in ("forward", "gradient"):
            problems.append(f"masks must be 'forward' or 'gradient', not {self.masks!r}")
        if self.granularity not in (None, "edge", "node", "rank"):
            problems.append(f"granularity must be 'edge', 'node', 'rank' or None, not {self.granularity!r}")
        if self.gamma is not None and self.keep_ratio is not None:
            problems.append(f"give gamma or keep_ratio, not both (gamma={self.gamma}, keep_ratio={self.keep_ratio})")
        if self.gamma is not None and self.gamma < 0:
            problems.append(f"gamma must be zero or more, not {self.gamma!r}")
        for name in ("keep_ratio", "pretrain_until"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                problems.append(f"{name} is a share between 0 and 1, not {value!r}")
        for name in ("prune_steps", "test_prune_steps"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 0):
                problems.append(f"{name} must be a whole number of at least 0, not {value!r}")
        if self.prune_lr is not None and not 0 < self.prune_lr < float("inf"):
            problems.append(f"prune_lr must be a positive number, not {self.prune_lr!r}")
        if self.prune_l1 < 0:
            problems.append(f"prune_l1 must be zero or more, not {self.prune_l1!r}")
        if problems:
            raise HfmetaError(f"{type(self).__name__}: " + "; ".join(problems) + ".")

    @property
    def has_private_networks(self) -> bool:
        """Each task owns a part of the model."""
        return True

    @property
    def eval_prune_steps(self) -> int:
        """Passes of fine-tuning before a new task is pruned."""
        return self.prune_steps if self.test_prune_steps is None else self.test_prune_steps
