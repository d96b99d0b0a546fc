"""Values that are learned per step: which step has which, that nothing moves them, their gradients, files and adapted models."""

from __future__ import annotations

import pytest
import torch

from hfmeta import MamlPlusPlus, MetaLearner
from hfmeta.inner import HfmetaError
from hfmeta.inner.rules import PerStep
from hfmeta.learner.trajectory import Trajectory
from tiny import random_batch, tiny_bert, tiny_conv4
from truth import central_difference, outer_gradient, random_direction, relative_gap

SHIFTS = [f"blocks.{i}.norm.{name}" for i in range(4) for name in ("shift", "scale")]


def learner_of(**options):
    """A conv net whose shifts and scales have other values at each of two steps."""
    model = tiny_conv4(dtype=torch.float64, norm_scale=True, activation="leaky_relu")
    learner = MetaLearner(model, MamlPlusPlus(inner_steps=2, inner_lr=0.1, **{"per_step": "norm", **options}))
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in learner.rule.own.values.values():
            value.add_(0.1 * torch.randn(value.shape, generator=dice, dtype=value.dtype))
    return learner, random_batch("image-classification", dtype=torch.float64)


def test_every_state_has_its_own_values_for_all_tasks():
    learner, batch = learner_of()
    mode = learner.algorithm.gradient_mode()
    path = list(Trajectory(learner, batch["support"], batch["task"]).values(4, mode))
    assert sorted(learner.rule.names) == sorted(SHIFTS)
    for name in SHIFTS:
        values = learner.rule.own.values[name.replace(".", "|")]
        assert values.shape[0] == 2
        for step, expected in enumerate(
            (learner.model.get_parameter(name), values[0], values[1], values[1], values[1])
        ):
            assert all(torch.equal(own, expected) for own in path[step][name])
    assert not torch.equal(path[0]["classifier.bias"], path[1]["classifier.bias"])


@pytest.mark.parametrize("evaluator", ["looped", "vectorised"])
@pytest.mark.parametrize("backward", ["full", "recompute"])
def test_the_gradient_equals_finite_differences(evaluator, backward):
    learner, batch = learner_of(evaluator=evaluator, backward=backward)
    _, grads = outer_gradient(learner, batch)
    direction = random_direction(learner)
    told = sum((grads[name] * along).sum().item() for name, along in direction.items())
    seen = [central_difference(learner, batch, direction, step) for step in (1e-4, 1e-5, 1e-6)]
    assert min(abs(told - slope) for slope in seen) <= 1e-6 * max(1e-2, abs(told)), (told, seen)
    assert all(grads[f"rule.own.values.{name.replace('.', '|')}"].flatten(1).any(1).all() for name in SHIFTS)


def test_any_tensor_may_have_them_where_rows_share_a_pass():
    batch = random_batch("sequence-classification", dtype=torch.float64)
    found = []
    for evaluator in ("looped", "batched"):
        options = {"adapt": "classifier|pooler", "per_step": "pooler", "evaluator": evaluator}
        learner = MetaLearner(tiny_bert(dtype=torch.float64), MamlPlusPlus(inner_steps=2, **options))
        found.append(outer_gradient(learner, batch)[1])
    assert relative_gap(*found) < 1e-9


def test_an_adapted_model_and_a_saved_learner_have_them(tmp_path):
    learner, batch = learner_of()
    support = {name: rows[0] for name, rows in batch["support"].items()}
    adapted = learner.adapt(support).state_dict()
    for name in ("blocks.0.norm.shift", "blocks.3.norm.scale"):
        assert torch.equal(adapted[name], learner.rule.own.values[name.replace(".", "|")][1])
    learner.save_pretrained(tmp_path)
    again = MetaLearner.from_pretrained(tmp_path).adapt(support).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in adapted.items())


def test_the_log_has_the_learned_rates_beside_them():
    learner, _ = learner_of()
    assert learner.summary()["inner_lr_mean"] == pytest.approx(0.1)


def test_refusals():
    model = tiny_conv4()
    with pytest.raises(
        HfmetaError, match=r"per_step='bn' matches none of the 14 adapted tensors \(blocks.0.conv.weight"
    ):
        MetaLearner(model, MamlPlusPlus(per_step="bn"))
    with pytest.raises(HfmetaError, match="matches all of the 2 adapted tensors .* leave others that move"):
        MetaLearner(model, MamlPlusPlus(adapt="classifier", per_step="."))
    with pytest.raises(HfmetaError, match=r"per_step='\(' is no regular expression"):
        MamlPlusPlus(per_step="(")
    with pytest.raises(HfmetaError, match="per_step counts inner steps and inner_batch_size makes passes of many"):
        MamlPlusPlus(per_step="norm", inner_batch_size=2)
    with pytest.raises(HfmetaError, match="at least one tensor and one step, not 0 and 2"):
        PerStep({}, 2)
