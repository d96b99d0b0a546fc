"""The meta-gradient of other libraries: `higher` (Grefenstette et al. 2019) and `learn2learn` (Arnold et al. 2020).

`higher` is in the dev extra. `learn2learn` is not: its last release, 0.2.0, does not install on Python 3.11 or later, since its
C files come from an old Cython ("meta_dataset.c:210: fatal error: longintrepr.h: No such file or directory"). Its tests below are
skipped where it cannot be imported. To run them: unpack its source distribution, compile it anew (Cython 3.3.1) with
`python setup.py build_ext --inplace`, put the folder on PYTHONPATH, and install gym 0.26.2 and a torchvision that fits torch
(PyPI's 0.28.0 is built for CUDA; beside a CPU torch 2.13.0 it stops with "operator torchvision::nms does not exist" unless its
operators are declared first).

Seen so with Python 3.11.7 and torch 2.13.0+cpu, in double: relative gap between the meta-gradient of hfmeta and that of learn2learn,

    MLP regression, 1 / 2 / 5 steps       exact 1.4e-16 / 1.0e-16 / 2.8e-16    first order 1.4e-16 / 5.4e-17 / 4.6e-16
    BERT classification, 1 / 2 steps      exact 8.4e-16 / 1.2e-15              first order 7.6e-16 / 7.9e-16
"""

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


def by_learn2learn(model, batch, steps, order=2):
    """The same by `learn2learn.algorithms.MAML`, which clones the module for each task."""
    peer = pytest.importorskip("learn2learn", reason="learn2learn cannot be imported; see the first lines of this file")
    maml = peer.algorithms.MAML(model, lr=LR, first_order=order == 1)
    named = dict(model.named_parameters())
    losses = []
    with sdpa_kernel([SDPBackend.MATH]):
        for t in range(len(batch["task"])):
            support, query = ({name: rows[t] for name, rows in batch[part].items()} for part in ("support", "query"))
            clone = maml.clone()
            for _ in range(steps):
                clone.adapt(clone(**support).loss)
            losses.append(clone(**query).loss)
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
@pytest.mark.parametrize("peer", [by_higher, by_learn2learn], ids=["higher", "learn2learn"])
def test_the_exact_gradient_equals_that_of_the_peer(peer, build, task_type, steps, evaluator):
    options = {"attn_implementation": "eager"} if build is tiny_bert else {}
    batch = random_batch(task_type, dtype=torch.float64)
    loss, expected = peer(build(dtype=torch.float64, **options).eval(), batch, steps)
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


def test_the_first_order_gradient_equals_that_of_learn2learn():
    batch = random_batch("regression", dtype=torch.float64)
    _, expected = by_learn2learn(tiny_mlp(dtype=torch.float64), batch, 2, order=1)
    algorithm = Maml(inner_steps=2, inner_lr=LR, order=1)
    _, found = outer_gradient(MetaLearner(tiny_mlp(dtype=torch.float64), algorithm), batch)
    assert relative_gap(of_model(found), expected) <= 1e-10
