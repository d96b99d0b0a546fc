"""The promises of an algorithm, one function each: `promise(case)` raises `ConformanceError`, or says what was kept.

A promise that does not apply to a case (an exact gradient where the options ask for first order) says nothing. Figures are
compared in double precision; `Case.tolerance` is relative to the largest entry, and leaves room for sums in another order alone.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hfmeta.algorithms import algorithm_origin
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.testing.cases import Batch, Case

DIFFERENCE_TOLERANCE = 1e-6
"""Of central differences: their own error at a step of 1e-5 is about 1e-10 of the loss."""


class ConformanceError(AssertionError):
    """An algorithm does not keep a promise; the message names the promise, the model and the figures."""


def loss_and_gradients(learner: MetaLearner, batch: Batch) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The outer loss and its gradient by name, for every trainable tensor of model, rule and init (None: not reached)."""
    loss = learner(**batch)["loss"]
    named = {name: value for name, value in learner.named_parameters() if value.requires_grad}
    if not loss.requires_grad:
        return loss, dict.fromkeys(named)
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return loss.detach(), dict(zip(named, grads, strict=True))


def compare(case: Case, sentence: str, one: tuple[Tensor, dict], other: tuple[Tensor, dict]) -> None:
    """Raise with `sentence` where two pairs of loss and gradients differ by more than the case's tolerance."""
    pairs = {"the loss": (one[0], other[0]), **{name: (one[1][name], other[1][name]) for name in one[1]}}
    for name, (a, b) in pairs.items():
        a, b = (torch.zeros(()) if value is None else value.detach() for value in (a, b))
        gap = (a - b).abs().max().item()
        if not gap <= case.tolerance * max(1.0, b.abs().max().item()):
            raise ConformanceError(f"{case}: {sentence}; {name} differs by {gap:.2e}.")


def gradients_arrive(case: Case) -> str:
    """Every trainable tensor that the outer loss reaches has a finite gradient, those of rule and init one that is not zero."""
    learner = case.learner()
    own = {id(value) for part in (learner.rule, learner.init) for value in part.parameters()}
    if case.algorithm.inner_steps == 0:
        own -= {id(value) for value in learner.rule.parameters()}
    loss, grads = loss_and_gradients(learner, case.batch())
    if not torch.isfinite(loss):
        raise ConformanceError(f"{case}: the outer loss is {loss.item()}.")
    for name, value in learner.named_parameters():
        grad = grads.get(name)
        if grad is not None and not torch.isfinite(grad).all():
            raise ConformanceError(f"{case}: the gradient of {name} is not finite.")
        if id(value) in own and value.requires_grad and (grad is None or not grad.any()):
            raise ConformanceError(
                f"{case}: {name} belongs to the rule or the init and is trainable, but the outer loss has no gradient by it. "
                "Use it, or make it a buffer."
            )
    if not any(grad is not None and grad.any() for name, grad in grads.items()):
        raise ConformanceError(f"{case}: nothing that is learned has a gradient: something detaches the inner loop.")
    return "finite gradients, and all of the rule's and the init's tensors have one"


def exact_is_exact(case: Case) -> str:
    """At order 2 the gradient by every tensor equals central finite differences along a random direction."""
    if not case.double or case.algorithm.meta_gradient != "exact":
        return ""
    learner, batch = case.learner(first_order_until=0.0), case.batch()
    _, grads = loss_and_gradients(learner, batch)
    dice = torch.Generator().manual_seed(1)
    for name, value in learner.named_parameters():
        if not value.requires_grad:
            continue
        direction = torch.randn(value.shape, generator=dice, dtype=value.dtype)
        grad = grads[name]
        told = 0.0 if grad is None else (grad * direction).sum().item()
        # A kink of a ReLU or of a clipped norm may lie within one step of the difference, hardly within a smaller one too.
        for step in (1e-5, 1e-6):
            seen = _difference(learner, batch, value, direction, step)
            if abs(told - seen) <= DIFFERENCE_TOLERANCE * max(1.0, abs(told)):
                break
        else:
            raise ConformanceError(
                f"{case}: order=2 promises the exact gradient; by {name} it is {told:.8g} along a random direction, "
                f"finite differences say {seen:.8g}. Something in the rule or the init is detached, or not a function "
                "of its arguments."
            )
    return "the exact gradient equals finite differences"


def _difference(learner: MetaLearner, batch: Batch, value: Tensor, direction: Tensor, step: float) -> float:
    before = value.detach().clone()
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            value.copy_(before + sign * step * direction)
            losses.append(learner(**batch)["loss"])
    with torch.no_grad():
        value.copy_(before)
    return ((losses[0] - losses[1]) / (2 * step)).item()


def _same_for(case: Case, what: str, changes: list[dict[str, Any]], sentence: str) -> str:
    """Every variant of the options gives the first one's loss and gradients; a variant that is refused is left out."""
    results = []
    for change in changes:
        try:
            results.append((change, loss_and_gradients(case.learner(**change), case.batch())))
        except HfmetaError:
            continue
        except RuntimeError as error:  # of autograd, when a graph reaches into a step from elsewhere
            raise ConformanceError(f"{case}: {sentence}, but with {change} torch says: {error}") from error
    for change, result in results[1:]:
        compare(case, f"{sentence}, but {change} and {results[0][0]} disagree", result, results[0][1])
    return "" if len(results) < 2 else what + ": " + ", ".join(next(iter(change.values())) for change, _ in results)


def recomputing_changes_nothing(case: Case) -> str:
    """`backward="recompute"` gives the gradient of `backward="full"`."""
    changes = [{"backward": "full"}, {"backward": "recompute"}]
    sentence = (
        "a step run again in the backward pass must be the same step (its state is an argument, not an attribute)"
    )
    return _same_for(case, "same gradient", changes, sentence)


def evaluators_agree(case: Case) -> str:
    """Looped, vectorised and, where it applies, batched evaluation give the same loss and gradient."""
    changes = [{"evaluator": name} for name in ("looped", "vectorised", "batched")]
    return _same_for(case, "same gradient", changes, "how the losses of a stack of tasks are computed must not matter")


def twice_is_the_same(case: Case) -> str:
    """Two learners built alike, and one learner asked twice, agree to the bit; the global generator stays where it is."""
    learner, batch = case.learner(), case.batch()
    before = torch.get_rng_state()
    first = loss_and_gradients(learner, batch)
    if not torch.equal(before, torch.get_rng_state()):
        raise ConformanceError(f"{case}: a pass moves the global random generator; randomness must be an argument.")
    for who, again in (("asked twice", learner), ("built alike", case.learner())):
        second = loss_and_gradients(again, batch)
        equal = torch.equal(first[0], second[0])
        for name, grad in first[1].items():
            other = second[1][name]
            equal &= grad is None if other is None else grad is not None and torch.equal(grad, other)
        if not equal:
            raise ConformanceError(
                f"{case}: a learner {who} gives another loss or gradient; state must be an argument."
            )
    return "deterministic"


def tasks_do_not_touch(case: Case) -> str:
    """T batches of one task, accumulated, give the loss and the gradient of one batch of T tasks."""
    learner, batch = case.learner(), case.batch()
    whole = loss_and_gradients(learner, batch)
    tasks = batch["task"].shape[0]
    parts = []
    for t in range(tasks):
        alone = {part: {name: rows[t : t + 1] for name, rows in batch[part].items()} for part in ("support", "query")}
        parts.append(loss_and_gradients(learner, {**alone, "task": batch["task"][t : t + 1]}))
    loss = torch.stack([part[0] for part in parts]).mean()
    grads = {}
    for name in whole[1]:
        found = [part[1][name] for part in parts]
        grads[name] = (
            sum(grad for grad in found if grad is not None) / tasks if any(g is not None for g in found) else None
        )
    sentence = "tasks of one batch must not influence each other (every value is stacked [T, ...])"
    compare(case, sentence, (loss, grads), whole)
    return "T batches of one task equal one batch of T"


def adaptation_moves_a_copy(case: Case) -> str:
    """`adapt` gives a model with other values, the one that evaluation has inside, and leaves the learner as it was."""
    learner, batch = case.learner(), case.batch()
    alone = {part: {name: rows[:1] for name, rows in batch[part].items()} for part in ("support", "query")}
    before = fingerprint(learner)
    adapted = learner.adapt({name: rows[0] for name, rows in alone["support"].items()})
    if fingerprint(learner) != before:
        raise ConformanceError(f"{case}: adapt changed the learner; it must work on a copy.")
    start = learner.model.state_dict()
    moved = [name for name, value in adapted.state_dict().items() if not torch.equal(value, start[name])]
    if not moved:
        raise ConformanceError(f"{case}: adapt returned the start itself: the rule moves nothing.")
    with torch.no_grad():
        inside = learner.eval()(**alone, task=batch["task"][:1])["loss"]
        outside = adapted.eval()(**{name: rows[0] for name, rows in alone["query"].items()}).loss
    if not (inside - outside).abs() <= case.tolerance * max(1.0, float(outside.abs())):
        raise ConformanceError(
            f"{case}: evaluation has a query loss of {inside.item():.10g}, the model that adapt returns {outside.item():.10g}."
        )
    return "adapt returns what evaluation has inside, and leaves the learner alone"


def comes_back_from_disk(case: Case) -> str:
    """A saved learner is found by its algorithm's name and adapts as it did before."""
    cls = type(case.algorithm)
    if algorithm_origin(cls) is None:
        raise ConformanceError(
            f"{cls.__name__} has no entry point, so no checkpoint of it could ever be opened. Name it in the pyproject.toml of its "
            f'package under [project.entry-points."hfmeta.algorithms"] as "{cls.__module__}:{cls.__qualname__}", and install that.'
        )
    learner, batch = case.learner(), case.batch()
    with torch.no_grad():
        dice = torch.Generator().manual_seed(2)
        for value in (*learner.rule.parameters(), *learner.init.parameters()):
            # Off their initial values: what is not in the file would come back unnoticed otherwise.
            value.mul_(1 + 0.1 * torch.rand(value.shape, generator=dice, dtype=value.dtype))
    with tempfile.TemporaryDirectory() as folder:
        learner.save_pretrained(folder)
        again = MetaLearner.from_pretrained(folder)
    if again.algorithm != learner.algorithm:
        raise ConformanceError(f"{case}: saved {learner.algorithm}, loaded {again.algorithm}.")
    support = {name: rows[0] for name, rows in batch["support"].items()}
    one, other = (model.adapt(support).state_dict() for model in (learner, again))
    for name, value in one.items():
        if name not in other or not torch.equal(value, other[name]):
            raise ConformanceError(f"{case}: saved and loaded again, it adapts differently ({name}).")
    return "saved and loaded, it adapts the same"


def fingerprint(learner: MetaLearner) -> str:
    """A hash of every tensor of a learner, of what is trainable and of what is in training mode."""
    digest = hashlib.sha256()
    for name, value in learner.state_dict().items():
        digest.update(
            name.encode() + str(value.dtype).encode() + value.detach().cpu().contiguous().view(-1).numpy().tobytes()
        )
    flags = [(name, value.requires_grad) for name, value in learner.named_parameters()]
    digest.update(repr((flags, [(name, module.training) for name, module in learner.named_modules()])).encode())
    return digest.hexdigest()


PROMISES: tuple[Callable[[Case], str], ...] = (
    twice_is_the_same,
    gradients_arrive,
    exact_is_exact,
    recomputing_changes_nothing,
    evaluators_agree,
    tasks_do_not_touch,
    adaptation_moves_a_copy,
    comes_back_from_disk,
)
"""In the order in which they are checked: the most telling message first."""
