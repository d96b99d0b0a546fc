"""The LSTM rule: its preprocessing, its count, gradient descent as a special case, an unroll in plain torch, both orders, wrappers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from hfmeta.algorithms import LstmMetaLearner, Maml
from hfmeta.inner import GradientMode, HfmetaError, inner_loop
from hfmeta.inner.rules import Clip, Lstm, Masked, Waiting
from hfmeta.inner.rules.lstm import P, preprocess, watched_gates
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_mlp, with_lora
from truth import central_difference, outer_gradient, random_direction, relative_gap

THETA = {"w": torch.zeros(2, 3, dtype=torch.float64), "b": torch.zeros((), dtype=torch.float64)}
MODELS = {
    "mlp": (tiny_mlp, "regression"),
    "conv4": (lambda **options: tiny_conv4(norm_scale=True, **options), "image-classification"),
    "bert": (tiny_bert, "sequence-classification"),
    "bert-lora": (lambda **options: with_lora(tiny_bert(**options)), "sequence-classification"),
}


def stack(seed=0, tasks=2):
    dice = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tasks, *value.shape, generator=dice, dtype=torch.float64) for name, value in THETA.items()
    }


def shaken(rule, by=0.3, seed=3):
    """Off the start, where nearly all weights are nearly zero."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in rule.parameters():
            value.add_(by * torch.randn(value.shape, generator=dice, dtype=value.dtype))
    return rule


# ---- numbers in ---------------------------------------------------------------------------------------------------------


def test_preprocessing_is_its_formula():
    values = torch.tensor([1.0, -math.e, 1e-3, 1e-6, -1e-6, 0.0], dtype=torch.float64)
    size, sign = preprocess(values)
    expected = [0.0, 0.1, math.log(1e-3) / 10, -1, -1, -1]
    torch.testing.assert_close(size, torch.tensor(expected, dtype=torch.float64))
    expected = [1, -1, 1, 1e-6 * math.exp(10), -1e-6 * math.exp(10), 0]
    torch.testing.assert_close(sign, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_preprocessing_has_no_jump(sign):
    border = sign * math.exp(-P)
    sides = torch.tensor([border * (1 - 1e-12), border * (1 + 1e-12)], dtype=torch.float64)
    for part, expected in zip(preprocess(sides), (-1.0, sign), strict=True):
        torch.testing.assert_close(part, torch.full((2,), expected, dtype=torch.float64), rtol=1e-11, atol=0)


def test_the_derivative_of_preprocessing_is_finite_at_zero():
    values = torch.tensor([0.0, 1e-30, 1.0], requires_grad=True)
    (grad,) = torch.autograd.grad(sum(part.sum() for part in preprocess(values)), values)
    assert torch.isfinite(grad).all()


# ---- what it is made of -------------------------------------------------------------------------------------------------


def test_it_has_2046_numbers_whatever_the_model():
    for theta in (THETA, dict(tiny_mlp().named_parameters())):
        assert sum(value.numel() for value in Lstm(theta).parameters()) == 2046 == 4 * 20 * (4 + 20 + 1) + 2 * 23
    assert sum(value.numel() for value in Lstm(THETA, hidden_size=5).parameters()) == 4 * 5 * 10 + 2 * 8


def test_it_starts_as_the_paper_says():
    rule = Lstm(THETA)
    for name in ("cell_weight", "cell_bias", "forget_weight", "input_weight"):
        value = getattr(rule, name)
        assert value.abs().max() <= 0.01
        assert value.abs().max() > 0.005
    assert 4 <= rule.forget_bias.item() <= 5
    assert -5.01 <= rule.input_bias.item() <= -3.99
    again, other = Lstm(THETA), Lstm(THETA, seed=1)
    assert all(torch.equal(one, same) for one, same in zip(rule.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(one, same) for one, same in zip(rule.parameters(), other.parameters(), strict=True))
    assert rule.summary()["forget_gate_at_rest"] == pytest.approx(torch.sigmoid(rule.forget_bias).item())
    assert 0.006 < rule.summary()["input_gate_at_rest"] < 0.019


def test_half_precision_values_step_in_single():
    theta = {"w": torch.zeros(4, dtype=torch.bfloat16)}
    rule = Lstm(theta)
    assert {value.dtype for value in rule.parameters()} == {torch.float32}
    params = {"w": torch.ones(2, 4, dtype=torch.bfloat16)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved, state = rule(params, params, torch.ones(2, dtype=torch.bfloat16), rule.start(params))
    assert moved["w"].dtype == torch.bfloat16
    assert {value.dtype for value in state.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": 1.0}, "inner_lr is where the input gate starts, between 0 and 1, not 1.0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"gradient_divisor": 0.0}, "gradient_divisor must be a positive number, not 0.0"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises(HfmetaError, match=sentence):
        Lstm(THETA, **options)


# ---- gradient descent as a special case ---------------------------------------------------------------------------------


@torch.no_grad()
def descending(rule, alpha, open_gate=float("inf")):
    """Both gates fixed: the forget gate at one, the input gate at alpha."""
    for value in (rule.forget_weight, rule.input_weight):
        value.zero_()
    rule.forget_bias.fill_(open_gate)
    rule.input_bias.fill_(math.log(alpha / (1 - alpha)))
    return rule


@pytest.mark.parametrize("open_gate", [float("inf"), 50.0])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("model", list(MODELS))
def test_with_fixed_gates_it_is_gradient_descent(model, order, open_gate):
    build, task_type = MODELS[model]
    batch = random_batch(task_type, dtype=torch.float64)
    plain = MetaLearner(build(dtype=torch.float64), Maml(inner_steps=3, inner_lr=0.1, order=order))
    fixed = MetaLearner(build(dtype=torch.float64), LstmMetaLearner(inner_steps=3, order=order))
    descending(fixed.rule, 0.1, open_gate)
    fixed.rule.requires_grad_(False)
    (loss, grads), (found_loss, found) = outer_gradient(plain, batch), outer_gradient(fixed, batch)
    torch.testing.assert_close(found_loss, loss, rtol=1e-12, atol=1e-12)
    assert found.keys() == grads.keys()
    assert relative_gap(found, grads) < 1e-12
    for name, curve in plain.scores(**batch).items():
        torch.testing.assert_close(fixed.scores(**batch)[name], curve, rtol=1e-12, atol=1e-12)


def test_the_divisor_divides_what_the_rule_sees():
    grads, params, losses = stack(1), stack(), torch.ones(2, dtype=torch.float64)
    one, other = shaken(Lstm(THETA)), shaken(Lstm(THETA, gradient_divisor=5))
    moved, _ = one(params, {name: grad / 5 for name, grad in grads.items()}, losses, one.start(params))
    same, _ = other(params, grads, losses, other.start(params))
    for name, value in moved.items():
        torch.testing.assert_close(same[name], value, rtol=1e-12, atol=0)


# ---- gradients ----------------------------------------------------------------------------------------------------------


def unrolled(learner, batch, steps, order):
    """The outer loss, task by task and scalar by scalar in plain torch: nn.LSTMCell's arithmetic, one vector of theta."""
    rule, model = learner.rule, learner.model
    names = list(learner.moving.theta(model))
    losses = []
    for t in range(len(batch["task"])):
        support, query = ({name: rows[t] for name, rows in batch[part].items()} for part in ("support", "query"))
        phi = {name: dict(model.named_parameters())[name] for name in names}
        count = sum(value.numel() for value in phi.values())
        h = c = torch.zeros(count, 20, dtype=torch.float64)
        forget = enter = torch.zeros(count, dtype=torch.float64)
        for _ in range(steps):
            at = phi if order == 2 else {name: value.detach().requires_grad_() for name, value in phi.items()}
            loss = functional_call(model, at, args=(), kwargs=support).loss
            grads = torch.autograd.grad(loss, list(at.values()), create_graph=order == 2)
            loss = loss if order == 2 else loss.detach()
            grad = torch.cat([g.reshape(-1) for g in grads])
            theta = torch.cat([value.reshape(-1) for value in phi.values()])
            features = [*plain_preprocess(loss.expand(count)), *plain_preprocess(grad)]
            z = torch.cat([torch.stack(features, 1), h], 1) @ rule.cell_weight.T + rule.cell_bias
            i, f, o = torch.sigmoid(z[:, :60]).chunk(3, 1)
            c = f * c + i * torch.tanh(z[:, 60:])
            h = o * torch.tanh(c)
            forget = torch.cat([h, theta[:, None], forget[:, None]], 1) @ rule.forget_weight + rule.forget_bias
            enter = torch.cat([h, theta[:, None], enter[:, None]], 1) @ rule.input_weight + rule.input_bias
            theta = torch.sigmoid(forget) * theta - torch.sigmoid(enter) * grad
            parts = theta.split([phi[name].numel() for name in names])
            phi = {name: part.view_as(phi[name]) for name, part in zip(names, parts, strict=True)}
        losses.append(functional_call(model, phi, args=(), kwargs=query).loss)
    return torch.stack(losses).mean()


def plain_preprocess(values):
    pairs = [
        (torch.log(abs(v)) / 10, torch.sign(v)) if abs(v) >= math.exp(-10) else (v * 0 - 1, math.exp(10) * v)
        for v in values
    ]
    return (torch.stack(part) for part in zip(*pairs, strict=True))


def learner_of(model, order, **options):
    build, _ = MODELS[model]
    learner = MetaLearner(build(dtype=torch.float64), LstmMetaLearner(inner_steps=3, order=order, **options))
    shaken(learner.rule)
    return learner


@pytest.mark.parametrize("backward", ["full", "recompute"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("model", ["mlp", "conv4", "bert-lora"])
def test_the_gradient_equals_an_independent_unroll(model, order, backward):
    learner = learner_of(model, order, backward=backward)
    batch = random_batch(MODELS[model][1], dtype=torch.float64)
    named = {name: value for name, value in learner.named_parameters() if value.requires_grad}
    with sdpa_kernel([SDPBackend.MATH]):
        expected_loss = unrolled(learner, batch, 3, order)
        expected = dict(zip(named, torch.autograd.grad(expected_loss, list(named.values())), strict=True))
    loss, found = outer_gradient(learner, batch)
    torch.testing.assert_close(loss, expected_loss.detach(), rtol=1e-10, atol=0)
    for name, grad in expected.items():
        assert (found[name] - grad).norm() <= 1e-9 * grad.norm() + 1e-12, name


@pytest.mark.parametrize("backward", ["full", "recompute"])
@pytest.mark.parametrize("evaluator", ["looped", "vectorised"])
@pytest.mark.parametrize("model", ["mlp", "conv4", "bert"])
def test_the_exact_gradient_equals_finite_differences(model, evaluator, backward):
    learner = learner_of(model, 2, evaluator=evaluator, backward=backward)
    batch = random_batch(MODELS[model][1], dtype=torch.float64)
    _, grads = outer_gradient(learner, batch)
    direction = random_direction(learner)
    told = sum((grads[name] * along).sum().item() for name, along in direction.items())
    # The sign of a gradient near zero is a kink, which may lie within a step of the difference.
    seen = [central_difference(learner, batch, direction, step) for step in (1e-5, 1e-6, 1e-7)]
    assert min(abs(told - slope) for slope in seen) <= 1e-5 * max(1e-2, abs(told)), (told, seen)


def test_first_order_takes_losses_and_gradients_as_constants_and_values_not():
    grads = [
        outer_gradient(learner_of("mlp", order), random_batch("regression", dtype=torch.float64))[1] for order in (1, 2)
    ]
    assert relative_gap(*grads) > 1e-3
    assert all(value.any() for value in grads[0].values())


# ---- wrappers -----------------------------------------------------------------------------------------------------------


def losses_of(params, step):
    return sum(((value.reshape(len(value), -1) - 1) ** 2).sum(1) for value in params.values())


def last(rule, start, steps=3):
    *_, params = inner_loop(losses_of, start, rule, steps=steps, mode=GradientMode(1))
    return params


def test_a_clipped_gradient_is_what_the_rule_sees():
    rule, params, grads, losses = shaken(Lstm(THETA)), stack(), stack(1), torch.ones(2, dtype=torch.float64)
    norm = sum(grad.flatten(1).square().sum(1) if grad.dim() > 1 else grad.square() for grad in grads.values()).sqrt()
    scaled = {name: grad * (0.1 / norm).view(-1, *[1] * (grad.dim() - 1)) for name, grad in grads.items()}
    moved, _ = Clip(rule, 0.1)(params, grads, losses, rule.start(params))
    for name, value in rule(params, scaled, losses, rule.start(params))[0].items():
        torch.testing.assert_close(moved[name], value)


def test_masked_entries_rest_though_values_decay():
    start = {name: value for name, value in stack().items() if name == "w"}
    masks = {"w": torch.arange(12).view(2, 2, 3) % 2 == 0}
    moved = last(Masked(shaken(Lstm({"w": THETA["w"]})), masks), start)["w"]
    assert torch.equal(moved[~masks["w"]], start["w"][~masks["w"]])
    assert not torch.isclose(moved[masks["w"]], start["w"][masks["w"]]).any()


def test_a_task_that_waits_keeps_its_state():
    rule, start = shaken(Lstm(THETA)), stack()
    waiting = Waiting(rule, [None, torch.tensor([True, False])])
    moved = last(waiting, start, steps=4)
    alone = last(rule, {name: value[1:] for name, value in start.items()}, steps=2)
    both = last(rule, start, steps=4)
    for name in THETA:
        torch.testing.assert_close(moved[name][1:], alone[name], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(moved[name][:1], both[name][:1], rtol=1e-12, atol=1e-14)


# ---- gates --------------------------------------------------------------------------------------------------------------


def test_gates_are_watched_from_outside_and_through_wrappers():
    rule, start, seen = shaken(Lstm(THETA)), stack(), []
    with watched_gates(Clip(rule, 10.0), lambda enter, forget: seen.append((enter, forget))):
        moved = last(Clip(rule, 10.0), start, steps=2)
    assert [tuple(gate.shape for gate in pair) for pair in seen] == [((2, 7), (2, 7))] * 2
    assert all(((gate > 0) & (gate < 1)).all() for pair in seen for gate in pair)
    last(rule, start)
    assert len(seen) == 2
    assert not rule._forward_hooks
    assert moved.keys() == THETA.keys()
    with watched_gates(nn.Module(), lambda *gates: seen.append(gates)):
        assert len(seen) == 2


def test_gates_are_those_that_moved_the_values():
    rule, params, grads, seen = shaken(Lstm(THETA)), stack(), stack(1), []
    with watched_gates(rule, lambda *gates: seen.append(gates)):
        moved, _ = rule(params, grads, torch.ones(2, dtype=torch.float64), rule.start(params))
    ((enter, forget),) = seen
    flat = [torch.cat([value.reshape(2, -1) for value in values.values()], 1) for values in (params, grads, moved)]
    torch.testing.assert_close(flat[2], forget * flat[0] - enter * flat[1])
