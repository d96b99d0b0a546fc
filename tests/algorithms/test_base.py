"""Options of the algorithms: every bad value is named, all at once, and JSON values come back as they were."""

from __future__ import annotations

import json

import pytest
import torch

from hfmeta import Algorithm, Anil, Maml, MamlPlusPlus, MetaSgd
from hfmeta.algorithms import HeadNames
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits import HeadInit, Plain
from hfmeta.inner.rules import Clip, Sgd, Shrink

THETA = {"body.weight": torch.ones(3, 2), "head.weight": torch.ones(2, 3), "head.bias": torch.ones(2)}
HEAD = HeadNames("head", "head.weight", "head.bias")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": 3}, "order must be one of 1, 2, not 3"),
        ({"backward": "half"}, "backward must be one of 'auto', 'full', 'recompute', not 'half'"),
        ({"head": "none"}, "head must be one of 'shared', 'zero', 'prototype', not 'none'"),
        ({"evaluator": "fast"}, "evaluator must be one of"),
        ({"query_loss": "first"}, "query_loss must be one of 'last', 'every_step'"),
        ({"on_nonfinite": "cry"}, "on_nonfinite must be one of 'stop', 'skip'"),
        ({"inner_steps": -1}, "inner_steps must be a whole number of at least 0, not -1"),
        ({"inner_steps": 1.5}, "inner_steps must be a whole number of at least 0, not 1.5"),
        ({"test_inner_steps": -1}, "test_inner_steps must be a whole number"),
        ({"tasks_per_pass": 0}, "tasks_per_pass must be a whole number of at least 1, not 0"),
        ({"query_loss_until": 2}, "query_loss_until is a share of the run between 0 and 1, not 2"),
        ({"first_order_until": -0.1}, "first_order_until is a share of the run"),
        ({"inner_lr": 0.0}, "inner_lr must be positive, not 0.0"),
        ({"inner_lr": float("nan")}, "inner_lr must be positive, not nan"),
        ({"inner_l1": -1.0}, "inner_l1 must be zero or more, not -1.0"),
        ({"inner_steps": 0}, 'inner_steps=0 adapts nothing unless head="prototype"'),
        ({"inner_batch_size": 0}, "inner_batch_size must be a whole number of at least 1, not 0"),
        ({"inner_batch_size": 2, "rates": "tensor", "rates_per_step": True}, "use one of them"),
    ],
)
def test_bad_values(options, words):
    with pytest.raises(HfmetaError) as caught:
        Maml(**options)
    assert str(caught.value).startswith("Maml: ")
    assert words in str(caught.value)


def test_all_problems_come_in_one_message():
    with pytest.raises(HfmetaError, match=r"Anil: order .*; inner_steps .*; inner_lr .*\.$"):
        Anil(order=0, inner_steps=-2, inner_lr=-1.0)


@pytest.mark.parametrize("algorithm", [Maml(inner_lr=0.3, rates="tensor"), Anil(), MetaSgd(), MamlPlusPlus(order=1)])
def test_options_survive_json(algorithm):
    assert type(algorithm).from_dict(json.loads(json.dumps(algorithm.to_dict()))) == algorithm


def test_unknown_options_are_named_with_the_nearest():
    with pytest.raises(
        HfmetaError, match=r"Maml has no option inner_step \(did you mean inner_steps\?\), spice\. Options: "
    ):
        Maml.from_dict({"inner_step": 3, "spice": 1})


def test_derived_options():
    assert Maml(inner_steps=9).steps_backward == "full"
    assert Maml(inner_steps=10).steps_backward == "recompute"
    assert Maml(inner_steps=10, backward="full").steps_backward == "full"
    assert Maml(inner_steps=3).eval_steps == 3
    assert Maml(inner_steps=3, test_inner_steps=0).eval_steps == 0


def test_rules_and_wrappers():
    assert isinstance(Algorithm().rule(THETA), Sgd)
    assert isinstance(Maml(inner_clip=1.0).rule(THETA), Clip)
    assert isinstance(Maml(inner_l1=0.1).rule(THETA), Shrink)
    learned = {
        "fixed": 0,
        "scalar": 1,
        "tensor": 3,
        "element": sum(value.numel() for value in THETA.values()),
    }
    for rates, count in learned.items():
        assert sum(value.numel() for value in Maml(rates=rates).rule(THETA).parameters()) == count
        assert sum(value.numel() for value in Anil(rates=rates).rule(THETA).parameters()) == count
    assert sum(value.numel() for value in MetaSgd().rule(THETA).parameters()) == learned["element"]
    assert sum(value.numel() for value in MamlPlusPlus(inner_steps=4).rule(THETA).parameters()) == 4 * 3
    steps = Maml(inner_steps=2, rates="scalar", rates_per_step=True)
    assert sum(value.numel() for value in steps.rule(THETA).parameters()) == 2


def test_inits_and_their_refusals():
    assert isinstance(Maml().init(THETA, None), Plain)
    assert isinstance(Maml(head="zero").init(THETA, HEAD), HeadInit)
    with pytest.raises(HfmetaError, match="this model has no linear head that hfmeta knows"):
        Maml(head="zero").init(THETA, None)
    with pytest.raises(HfmetaError, match=r"head.weight is not adapted. Use head=.shared."):
        Maml(head="prototype").init({"body.weight": THETA["body.weight"]}, HEAD)
