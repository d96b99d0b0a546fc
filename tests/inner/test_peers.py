"""The meta-gradient of another library: `higher` (Grefenstette et al. 2019) unrolls torch optimisers by patching modules."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from hfmeta.algorithms import Maml
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_mlp
from truth import of_model, outer_gradient, relative_gap

LR = 0.1


def by_higher(model, batch, steps):
    """The outer loss of plain SGD and its gradient by the start, task by task."""
    higher = pytest.importorskip("higher")
    named = dict(model.named_parameters())
    losses = []
    for t in range(len(batch["task"])):
        support, query = ({name: rows[t] for name, rows in batch[part].items()} for part in ("support", "query"))
        optimiser = torch.optim.SGD(model.parameters(), lr=LR)
        with (
            sdpa_kernel([SDPBackend.MATH]),
            higher.innerloop_ctx(model, optimiser, copy_initial_weights=False) as (fast, stepper),
        ):
            for _ in range(steps):
                stepper.step(fast(**support).loss)
            losses.append(fast(**query).loss)
    mean = torch.stack(losses).mean()
    return mean.detach(), dict(zip(named, torch.autograd.grad(mean, list(named.values())), strict=True))


@pytest.mark.parametrize("evaluator", ["looped", "vectorised"])
@pytest.mark.parametrize(
    ("build", "task_type", "steps"),
    [
        (tiny_mlp, "regression", 2),
        (tiny_mlp, "regression", 5),
        (tiny_bert, "sequence-classification", 1),
        (tiny_bert, "sequence-classification", 2),
    ],
    ids=["mlp-2", "mlp-5", "bert-1", "bert-2"],
)
def test_the_exact_gradient_equals_that_of_higher(build, task_type, steps, evaluator):
    options = {"attn_implementation": "eager"} if build is tiny_bert else {}
    batch = random_batch(task_type, dtype=torch.float64)
    loss, expected = by_higher(build(dtype=torch.float64, **options).eval(), batch, steps)
    algorithm = Maml(inner_steps=steps, inner_lr=LR, evaluator=evaluator)
    found_loss, found = outer_gradient(MetaLearner(build(dtype=torch.float64, **options), algorithm), batch)
    assert abs(found_loss - loss) <= 1e-10 * abs(loss)
    assert relative_gap(of_model(found), expected) <= 1e-10


def test_the_first_order_gradient_is_not_that_of_higher():
    """The comparison can tell: what it agrees with holds the second derivatives."""
    batch = random_batch("regression", dtype=torch.float64)
    _, expected = by_higher(tiny_mlp(dtype=torch.float64), batch, 2)
    algorithm = Maml(inner_steps=2, inner_lr=LR, order=1)
    _, found = outer_gradient(MetaLearner(tiny_mlp(dtype=torch.float64), algorithm), batch)
    assert relative_gap(of_model(found), expected) > 1e-3
