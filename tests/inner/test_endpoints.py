"""Gradients from the end of the inner loop: implicit equals the exact one of the converged problem; Reptile is start minus end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from hfmeta.algorithms import ImplicitMaml, Maml, Reptile
from hfmeta.inner import Evaluation, GradientMode, HfmetaError, Implicit, NonFiniteLossError, inner_loop
from hfmeta.inner.endpoints import conjugate_gradient, difference_of
from hfmeta.inner.rules import Sgd
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_mlp
from truth import central_difference, outer_gradient, random_direction, relative_gap

LAM = 2.0


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Quadratics:
    """Losses phi'A phi / 2 - (B s)'phi of two tasks, with a shared s: everything about them is known."""

    def __init__(self, size=4):
        root = drawn(2, size, size) / 2
        self.curvature = root @ root.transpose(1, 2)
        self.mixing, self.goal = drawn(2, size, 3, seed=1), drawn(2, size, seed=2)
        self.theta, self.shared = drawn(size, seed=3).requires_grad_(), drawn(3, seed=4).requires_grad_()
        self.rule = Sgd({"w": self.theta}, 0.1)

    @property
    def start(self):
        return {"w": self.theta.expand(2, -1)}

    def support(self, params, step):
        w = params["w"]
        return 0.5 * torch.einsum("ti,tij,tj->t", w, self.curvature, w) - torch.einsum(
            "ti,tij,j->t", w, self.mixing, self.shared
        )

    def query(self, params):
        return Evaluation(0.5 * (params["w"] - self.goal).square().sum(1), None)


def test_the_implicit_gradient_of_a_quadratic_has_its_closed_form():
    q = Quadratics()
    mode = GradientMode(implicit=Implicit(LAM, cg_steps=4), pull=LAM)
    *_, end = inner_loop(q.support, q.start, q.rule, steps=200, mode=mode, shared=[q.shared])
    inverse = torch.linalg.inv(q.curvature + LAM * torch.eye(4, dtype=torch.float64))
    solution = torch.einsum("tij,tj->ti", inverse, q.mixing @ q.shared + LAM * q.theta)
    torch.testing.assert_close(end["w"], solution, rtol=0, atol=1e-10)
    found = torch.autograd.grad(q.query(end).losses.sum(), [q.theta, q.shared])
    pulled = torch.einsum("tij,tj->ti", inverse, solution - q.goal).detach()
    torch.testing.assert_close(found[0], LAM * pulled.sum(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[1], torch.einsum("ti,tij->j", pulled, q.mixing), rtol=1e-9, atol=1e-9)


def test_damping_is_added_to_the_operator():
    q = Quadratics()
    mode = GradientMode(implicit=Implicit(LAM, cg_steps=4, damping=0.5), pull=LAM)
    *_, end = inner_loop(q.support, q.start, q.rule, steps=200, mode=mode, shared=[q.shared])
    found = torch.autograd.grad(q.query(end).losses.sum(), q.theta)[0]
    operator = 1.5 * torch.eye(4, dtype=torch.float64) + q.curvature / LAM
    expected = torch.linalg.solve(operator, (end["w"] - q.goal).detach()).sum(0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@dataclass
class Unrolled(Maml):
    """The regularised problem with the exact gradient through all of its steps."""

    lam: float = LAM

    def gradient_mode(self, progress=1.0, track=False, training=False):
        """Exact, with the proximal term."""
        return GradientMode(2, "recompute", track, pull=self.lam)


LAYERS = "classifier|LayerNorm|query|value"
MODELS = {  # with an inner rate and a lam at which 150 steps converge
    "mlp": (tiny_mlp, "regression", "all", 0.05, 4.0),
    "mlp, a layer shared": (tiny_mlp, "regression", r"layers\.1|head", 0.05, 4.0),
    "conv4, shifts shared": (tiny_conv4, "image-classification", "conv|classifier", 0.005, 100.0),
    "bert, a body shared": (tiny_bert, "sequence-classification", LAYERS, 0.1, 2.0),
    "bert, head alone": (tiny_bert, "sequence-classification", "head", 0.1, 2.0),
}


@pytest.fixture
def smooth(monkeypatch):
    """Activations without a kink: the solution of a problem with kinks may sit on one, where nothing has a gradient."""
    monkeypatch.setattr("hfmeta.models.mlp.relu", torch.tanh)
    monkeypatch.setattr(torch.nn.functional, "relu", torch.nn.functional.softplus)


def converged(name, cls=ImplicitMaml, **more):
    build, task_type, adapt, lr, lam = MODELS[name]
    options = {"inner_steps": 150, "inner_lr": lr, "lam": lam, "adapt": adapt, **more}
    return MetaLearner(build(dtype=torch.float64), cls(**options)), random_batch(task_type, T=2, dtype=torch.float64)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_exact_gradient_of_the_converged_problem(name, smooth):
    exact, batch = converged(name, Unrolled)
    expected_loss, expected = outer_gradient(exact, batch)
    for evaluator in ("looped", "vectorised") if "conv4" in name else ("looped", "vectorised", "batched"):
        if evaluator == "batched" and name == "bert, a body shared":
            continue  # among its layers is one of another kind
        learner, _ = converged(name, evaluator=evaluator, cg_steps=80)
        loss, found = outer_gradient(learner, batch)
        torch.testing.assert_close(loss, expected_loss, rtol=1e-9, atol=1e-9)
        assert relative_gap(found, expected) < 1e-5
        for key, value in expected.items():
            assert (found[key] - value).norm() <= 1e-4 * value.norm() + 1e-9, key
        shared = [key for key in found if key.removeprefix("model.") not in learner.moving.names]
        assert bool(shared) == (name != "mlp")
        assert all(found[key].any() for key in shared if not key.endswith(("key.bias", "position_embeddings.weight")))


@pytest.mark.parametrize("name", ["mlp", "mlp, a layer shared", "conv4, shifts shared"])
def test_it_equals_central_differences(name, smooth):
    learner, batch = converged(name, cg_steps=80)
    _, grads = outer_gradient(learner, batch)
    for seed in (1, 2):
        direction = random_direction(learner, seed)
        told = sum((grads[name] * along).sum().item() for name, along in direction.items())
        seen = [central_difference(learner, batch, direction, step) for step in (1e-4, 1e-5)]
        assert min(abs(told - slope) for slope in seen) <= 1e-5 * max(1e-2, abs(told)), (told, seen)


def test_memory_of_the_way_is_not_kept_and_a_rule_that_learns_is_refused():
    q = Quadratics()
    mode = GradientMode(implicit=Implicit(LAM), pull=LAM)
    path = list(inner_loop(q.support, q.start, q.rule, steps=3, mode=mode))
    assert [value["w"].requires_grad for value in path] == [True, False, False, True]
    learning = Sgd({"w": q.theta}, 0.1, "scalar")
    for other in (mode, GradientMode(difference=True)):
        with pytest.raises(HfmetaError, match="the rule learns 1 values .* which get no gradient"):
            list(inner_loop(q.support, q.start, learning, steps=1, mode=other))


def test_a_loss_that_is_not_finite_at_the_end_names_its_task():
    def support(params, step):
        return params["w"].square().sum(1) / torch.tensor([1.0, 0.0 if step == 1 else 1.0])

    mode = GradientMode(implicit=Implicit(1.0), pull=1.0)
    start = {"w": torch.ones(2, 1, requires_grad=True)}
    with pytest.raises(NonFiniteLossError) as caught:
        list(inner_loop(support, start, Sgd({"w": torch.ones(1)}, 0.1), steps=1, mode=mode))
    assert (caught.value.rows, caught.value.step) == ([1], 1)


def test_conjugate_gradients_stop_task_by_task():
    """A task that is solved, or whose operator is not positive or nearly singular, keeps what it has; others go on."""
    diagonal = torch.tensor([[1.0, 1.0], [1.0, 3.0], [-1.0, -1.0], [0.01, 0.01], [2.0, -1.0]], dtype=torch.float64)
    wanted = [torch.ones(5, 2, dtype=torch.float64)]
    calls = []

    def operator(direction):
        calls.append(1)
        return [diagonal * direction[0]]

    (found,) = conjugate_gradient(operator, wanted, 10)
    expected = torch.tensor([[1.0, 1.0], [1.0, 1 / 3], [0.0, 0.0], [0.0, 0.0], [2.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    assert len(calls) <= 3


def test_options_of_the_modes():
    for options, words in (
        ({"lam": 0.0}, "lam must be a positive number, not 0.0"),
        ({"lam": 1.0, "cg_steps": 0}, "cg_steps must be a whole number of at least 1, not 0"),
        ({"lam": 1.0, "damping": -1.0}, "damping must be zero or more, not -1.0"),
    ):
        with pytest.raises(HfmetaError, match=words):
            Implicit(**options)
    with pytest.raises(HfmetaError, match="not both"):
        GradientMode(implicit=Implicit(1.0), difference=True)
    with pytest.raises(HfmetaError, match="proximal term must be zero or more, not -1"):
        GradientMode(pull=-1)


def test_the_difference_of_a_quadratic_has_its_closed_form():
    """phi_k - phi* = (I - lr A)^k (theta - phi*), so the outer gradient is (I - (I - lr A)^k) (theta - phi*)."""
    q = Quadratics()
    steps, eye = 7, torch.eye(4, dtype=torch.float64)
    *_, end = inner_loop(q.support, q.start, q.rule, steps=steps, mode=GradientMode(difference=True))
    losses = difference_of(q.query, q.start)(end).losses
    found = torch.autograd.grad(losses.mean(), q.theta)[0]
    optimum = torch.linalg.solve(q.curvature, q.mixing @ q.shared)
    left = torch.linalg.matrix_power(eye - 0.1 * q.curvature, steps)
    expected = torch.einsum("tij,tj->ti", eye - left, q.theta - optimum).mean(0).detach()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    assert torch.equal(losses, q.query(end).losses)


@pytest.mark.parametrize("model", ["mlp", "bert, head alone"])
def test_one_step_of_gradient_descent_is_joint_training(model):
    build, task_type, adapt, *_ = MODELS[model]
    batch = random_batch(task_type, T=3, dtype=torch.float64)
    options = Reptile(inner_steps=1, inner_lr=0.1, optimiser="sgd", adapt=adapt)
    learner = MetaLearner(build(dtype=torch.float64), options)
    _, found = outer_gradient(learner, batch)
    plain, losses = build(dtype=torch.float64), []
    for t in range(3):
        losses.append(plain(**{name: rows[t] for name, rows in batch["support"].items()}).loss)
    torch.stack(losses).mean().backward()
    for name, value in plain.named_parameters():
        joint = 0.1 * value.grad if name in learner.moving.names else torch.zeros_like(value)
        torch.testing.assert_close(found[f"model.{name}"], joint, rtol=1e-9, atol=1e-12)


def test_a_plain_outer_step_moves_theta_towards_the_ends():
    """theta + eps * mean(phi - theta), with Adam inside and a step on each portion; the query set gives the loss alone."""
    batch = random_batch("regression", T=3, dtype=torch.float64)
    learner = MetaLearner(tiny_mlp(dtype=torch.float64), Reptile(inner_steps=2, inner_lr=0.01, inner_batch_size=2))
    before = {name: value.detach().clone() for name, value in learner.model.named_parameters()}
    ends = [learner.adapt({name: rows[t] for name, rows in batch["support"].items()}).state_dict() for t in range(3)]
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.5)
    loss = learner.train()(**batch)["loss"]
    loss.backward()
    optimizer.step()
    for name, value in learner.model.named_parameters():
        mean = torch.stack([end[name] for end in ends]).mean(0)
        torch.testing.assert_close(value.detach(), before[name] + 0.5 * (mean - before[name]), rtol=1e-10, atol=1e-12)
        assert not torch.equal(value.detach(), before[name])
