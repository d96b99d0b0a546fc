"""The truth table: the meta-gradient equals finite differences, an independent unroll, and the first-order formula."""

from __future__ import annotations

import functools

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.inner import GradientMode, HfmetaError
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, tiny_t5, tiny_vit, with_lora
from truth import central_difference, of_model, outer_gradient, random_direction, relative_gap, unroll

MODELS = {
    "mlp": (tiny_mlp, "regression"),
    "conv4": (tiny_conv4, "image-classification"),
    "bert": (tiny_bert, "sequence-classification"),
    "vit": (tiny_vit, "image-classification"),
    "gpt2": (tiny_gpt2, "causal-lm"),
    "t5": (tiny_t5, "seq2seq-lm"),
}
ALL = ("looped", "vectorised")
LAYERS = "classifier|LayerNorm|query|value"
EXACT = [
    ("mlp", "all", (*ALL, "batched"), {}),
    ("mlp", "head", (*ALL, "batched"), {}),
    ("conv4", "all", ALL, {}),
    ("bert", "all", ALL, {}),
    ("bert", LAYERS, (*ALL, "batched"), {}),
    ("bert", "head", (*ALL, "batched"), {}),
    ("bert", "head", (*ALL, "batched"), {"head": "prototype", "rates": "tensor"}),
    ("bert", "all", ALL, {"rates": "tensor", "rates_per_step": True}),
    ("mlp", "all", ALL, {"rates": "element"}),
    ("mlp", "all", ALL, {"rates": "scalar", "query_loss": "every_step"}),
    ("conv4", "all", ALL, {"rates": "tensor", "inner_clip": 0.5}),
]
VARIANTS = [
    (model, adapt, evaluator, backward, tuple(options.items()))
    for model, adapt, evaluators, options in EXACT
    for evaluator in evaluators
    for backward in ("full", "recompute")
]


def made(model, adapt, options, **more):
    build, task_type = MODELS[model]
    algorithm = Maml(inner_steps=2, inner_lr=0.1, adapt=adapt, **dict(options), **more)
    return MetaLearner(build(dtype=torch.float64), algorithm), random_batch(task_type, dtype=torch.float64)


@functools.cache
def slopes(model, adapt, options):
    """Finite differences with the plain loop, for two directions, at three step sizes (a kink may lie within one of them)."""
    learner, batch = made(model, adapt, options, evaluator="looped")
    return [
        [central_difference(learner, batch, random_direction(learner, seed), step) for step in (1e-4, 1e-5, 1e-6)]
        for seed in (1, 2)
    ]


@pytest.mark.parametrize(("model", "adapt", "evaluator", "backward", "options"), VARIANTS)
def test_the_exact_gradient_equals_finite_differences(model, adapt, evaluator, backward, options):
    learner, batch = made(model, adapt, options, evaluator=evaluator, backward=backward)
    _, grads = outer_gradient(learner, batch)
    for seed, seen in zip((1, 2), slopes(model, adapt, options), strict=True):
        direction = random_direction(learner, seed)
        told = sum((grads[name] * along).sum().item() for name, along in direction.items())
        assert min(abs(told - slope) for slope in seen) <= 1e-6 * max(1e-2, abs(told)), (told, seen)


@pytest.mark.parametrize("lora", [False, True], ids=["plain", "lora"])
@pytest.mark.parametrize("model", ["bert", "gpt2", "t5", "vit"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_equals_an_independent_unroll(model, lora, order):
    build, task_type = MODELS[model]
    double = model in ("bert", "vit")  # transformers computes the losses of GPT-2 and T5 in single precision
    dtype, lr = (torch.float64, 0.1) if double else (torch.float32, 0.01)
    wrap = with_lora if lora else lambda plain: plain
    batch = random_batch(task_type, dtype=dtype)
    # ViT's eager attention takes its softmax in single precision; its reference uses the mathematical kernel instead.
    reference = wrap(build(dtype=dtype, attn_implementation="sdpa" if model == "vit" else "eager"))
    adapted = [name for name, value in reference.named_parameters() if value.requires_grad]
    loss, expected = unroll(reference, adapted, batch, 2, lr, order)
    for backward in ("full", "recompute"):
        for evaluator in ("auto", "looped"):
            options = {"order": order, "backward": backward, "evaluator": evaluator}
            learner = MetaLearner(wrap(build(dtype=dtype)), Maml(inner_steps=2, inner_lr=lr, **options))
            found_loss, found = outer_gradient(learner, batch)
            assert abs(found_loss - loss) <= (1e-9 if double else 1e-5) * abs(loss)
            assert relative_gap(of_model(found), expected) < (1e-9 if double else 1e-5)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("double", "lr", "tolerance"), [(True, 0.1, 1e-6), (False, 0.01, 1e-5)])
def test_the_gradient_of_vit_equals_an_unroll_with_eager_attention(double, lr, tolerance, order):
    """No kernel of torch in the reference. ViT's eager attention takes its softmax in single precision, which is the gap in double."""
    dtype = torch.float64 if double else torch.float32
    batch = random_batch("image-classification", dtype=dtype)
    reference = tiny_vit(dtype=dtype, attn_implementation="eager")
    loss, expected = unroll(reference, list(dict(reference.named_parameters())), batch, 2, lr, order)
    for backward in ("full", "recompute"):
        for evaluator in ("auto", "looped"):
            algorithm = Maml(inner_steps=2, inner_lr=lr, order=order, backward=backward, evaluator=evaluator)
            found_loss, found = outer_gradient(MetaLearner(tiny_vit(dtype=dtype), algorithm), batch)
            assert abs(found_loss - loss) <= tolerance * abs(loss)
            assert relative_gap(of_model(found), expected) < tolerance


@pytest.mark.parametrize("rates", ["scalar", "tensor", "element"])
def test_first_order_gives_its_formula_for_learned_rates_too(rates):
    """One step: d loss / d theta = g_query(phi), d loss / d alpha = -(g_query(phi) * g_support(theta)), summed as shared."""
    model = tiny_mlp(dtype=torch.float64)
    batch = random_batch("regression", T=1, dtype=torch.float64)
    learner = MetaLearner(model, Maml(inner_steps=1, inner_lr=0.1, order=1, rates=rates))
    _, found = outer_gradient(learner, batch)
    theta = dict(model.named_parameters())
    support, query = ({name: rows[0] for name, rows in batch[part].items()} for part in ("support", "query"))
    inner = torch.autograd.grad(model(**support).loss, list(theta.values()))
    phi = {n: (v - 0.1 * g).detach().requires_grad_() for (n, v), g in zip(theta.items(), inner, strict=True)}
    outer = torch.autograd.grad(torch.func.functional_call(model, phi, args=(), kwargs=query).loss, list(phi.values()))
    products = {}
    for name, g, q in zip(theta, inner, outer, strict=True):
        torch.testing.assert_close(found[f"model.{name}"], q, rtol=1e-10, atol=1e-12)
        products[name] = -g * q
    if rates == "scalar":
        total = sum(product.sum() for product in products.values())
        torch.testing.assert_close(found["rule.alpha.all"], total, rtol=1e-10, atol=1e-12)
        return
    for name, product in products.items():
        told = found["rule.alpha." + name.replace(".", "|")]
        torch.testing.assert_close(told, product.sum() if rates == "tensor" else product, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("model", ["conv4", "bert", "mlp"])
def test_exact_and_first_order_differ_where_the_hessian_matters(model):
    (first, batch), (exact, _) = made(model, "all", (), order=1), made(model, "all", (), order=2)
    assert relative_gap(outer_gradient(first, batch)[1], outer_gradient(exact, batch)[1]) > 1e-3


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(HfmetaError, match="order must be 1"):
        GradientMode(order=3)
    with pytest.raises(HfmetaError, match='backward must be "full" or "recompute"'):
        GradientMode(backward="half")
