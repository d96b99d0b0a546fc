"""Who computes a meta-gradient: hfmeta through its public learner, learn2learn, higher, torchopt, and a plain unroll as the reference.

A way prepares a model once and returns a function that takes a batch and leaves the outer gradient in the `grad` of the model's
parameters: `exact`, `first_order`, or `reptile` (the start minus the mean end). Peers see one task at a time and call `backward`
for each, as in their own examples. Their support passes use the attention kernel that has a second derivative, their query passes
the fast one, as hfmeta's do.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from benchmarks.meta_gradient.workloads import Sets, Workload
from hfmeta import Maml, MetaLearner, Reptile
from hfmeta.inner.attention import twice_differentiable

Step = Callable[[Sets], None]

HOW_TO_INSTALL = {
    "learn2learn": "bash benchmarks/install_learn2learn.sh",
    "higher": 'pip install -c constraints.txt -e ".[benchmarks]"',
    "torchopt": 'pip install -c constraints.txt -e ".[benchmarks]"',
}


@dataclass(frozen=True)
class Way:
    """One contender.

    Args:
        name: library, and what was asked of it.
        gradient: `exact`, `first_order` or `reptile`.
        prepare: model, workload and K to a step.
        needs: the package that must be installed; None for hfmeta and the reference.
    """

    name: str
    gradient: str
    prepare: Callable[[Any, Workload, int], Step]
    needs: str | None = None

    @property
    def ours(self) -> bool:
        """Whether it is hfmeta."""
        return self.needs is None


def hfmeta(name: str = "hfmeta", gradient: str = "exact", query_rows: int | None = None, **options: Any) -> Way:
    """hfmeta with an algorithm as a user would name it; without options every choice is its own.

    Args:
        name: of the contender.
        gradient: `exact`, `first_order` or `reptile`.
        query_rows: give it so many of the query rows; Reptile reads them for its log alone, and the peers' has none.
        options: of the algorithm.
    """

    def prepare(model: Any, workload: Workload, steps: int) -> Step:
        given = {"inner_steps": steps, "inner_lr": workload.inner_lr, **options}
        if gradient == "reptile":
            learner = MetaLearner(model, Reptile(optimiser="sgd", **given))
        else:
            learner = MetaLearner(model, Maml(order=1 if gradient == "first_order" else 2, **given))
        learner.train()

        def step(batch: Sets) -> None:
            query = {key: value[:, :query_rows] for key, value in batch["query"].items()}
            learner(batch["support"], query)["loss"].backward()

        return step

    return Way(name, gradient, prepare)


def one_by_one(batch: Sets) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Support and query set of each task."""
    for t in range(len(batch["support"]["labels"])):
        yield tuple({name: value[t] for name, value in batch[part].items()} for part in ("support", "query"))  # type: ignore[misc]


def add_gradient(starts: list[Tensor], ends: list[Tensor], tasks: int) -> None:
    """Reptile: one task's share of the start minus the mean end."""
    with torch.no_grad():
        for start, end in zip(starts, ends, strict=True):
            moved = (start - end) / tasks
            start.grad = moved if start.grad is None else start.grad.add_(moved)


def unrolled(gradient: str) -> Way:
    """The reference: plain torch, task by task and step by step, which shares no code with hfmeta or a peer."""
    exact = gradient == "exact"

    def prepare(model: Any, workload: Workload, steps: int) -> Step:
        theta = {name: value for name, value in model.named_parameters() if value.requires_grad}

        def step(batch: Sets) -> None:
            tasks = len(batch["support"]["labels"])
            for support, query in one_by_one(batch):
                phi = dict(theta)
                for _ in range(steps):
                    with twice_differentiable(exact):
                        loss = functional_call(model, phi, args=(), kwargs=support).loss
                    grads = torch.autograd.grad(loss, list(phi.values()), create_graph=exact)
                    phi = {n: v - workload.inner_lr * g for (n, v), g in zip(phi.items(), grads, strict=True)}
                if gradient == "reptile":
                    add_gradient(list(theta.values()), list(phi.values()), tasks)
                else:
                    (functional_call(model, phi, args=(), kwargs=query).loss / tasks).backward()

        return step

    return Way("unroll", gradient, prepare)


def learn2learn(gradient: str = "exact") -> Way:
    """`learn2learn.algorithms.MAML`: a clone of the module for each task."""
    exact = gradient == "exact"

    def prepare(model: Any, workload: Workload, steps: int) -> Step:
        maml = learn2learn_maml()(model, lr=workload.inner_lr, first_order=not exact, allow_nograd=workload.frozen)

        def step(batch: Sets) -> None:
            tasks = len(batch["support"]["labels"])
            for support, query in one_by_one(batch):
                clone = maml.clone()
                for _ in range(steps):
                    with twice_differentiable(exact):
                        loss = clone(**support).loss
                    clone.adapt(loss)
                if gradient == "reptile":
                    add_gradient(list(maml.module.parameters()), list(clone.module.parameters()), tasks)
                else:
                    (clone(**query).loss / tasks).backward()

        return step

    return Way("learn2learn", gradient, prepare, "learn2learn")


def learn2learn_maml() -> Any:
    """Its MAML class. The package's own first lines import gym and torchvision, so that its folders are entered without them."""
    for package in ("learn2learn", "learn2learn.algorithms"):
        if package not in sys.modules:
            spec = importlib.util.find_spec(package)
            stub = ModuleType(package)
            stub.__path__ = list((spec and spec.submodule_search_locations) or ())
            stub.__spec__ = spec
            sys.modules[package] = stub
    return importlib.import_module("learn2learn.algorithms.maml").MAML


def higher(_: str = "exact") -> Way:
    """`higher.innerloop_ctx`: a functional copy of the module and of its optimiser for each task."""

    def prepare(model: Any, workload: Workload, steps: int) -> Step:
        library = importlib.import_module("higher")
        optimiser = torch.optim.SGD(model.parameters(), lr=workload.inner_lr)

        def step(batch: Sets) -> None:
            tasks = len(batch["support"]["labels"])
            for support, query in one_by_one(batch):
                with library.innerloop_ctx(model, optimiser, copy_initial_weights=False) as (fast, stepper):
                    for _ in range(steps):
                        with twice_differentiable(True):
                            loss = fast(**support).loss
                        stepper.step(loss)
                    (fast(**query).loss / tasks).backward()

        return step

    return Way("higher", "exact", prepare, "higher")


def torchopt(_: str = "exact") -> Way:
    """`torchopt.MetaSGD`: steps the module in place and puts it back after each task."""

    def prepare(model: Any, workload: Workload, steps: int) -> Step:
        library = importlib.import_module("torchopt")
        optimiser = library.MetaSGD(model, lr=workload.inner_lr)

        def step(batch: Sets) -> None:
            tasks = len(batch["support"]["labels"])
            begun = [library.extract_state_dict(value, by="reference") for value in (model, optimiser)]
            for support, query in one_by_one(batch):
                for _ in range(steps):
                    with twice_differentiable(True):
                        loss = model(**support).loss
                    optimiser.step(loss)
                (model(**query).loss / tasks).backward()
                for value, state in zip((model, optimiser), begun, strict=True):
                    library.recover_state_dict(value, state)

        return step

    return Way("torchopt", "exact", prepare, "torchopt")


def absent() -> dict[str, str]:
    """Peers that are not installed, and how to install them."""
    return {name: how for name, how in HOW_TO_INSTALL.items() if importlib.util.find_spec(name) is None}
