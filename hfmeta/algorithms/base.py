"""What an algorithm is: a dataclass of options and the factories of its init and its rule.

The fields are the keys of a recipe's `algorithm` section and of `hfmeta_config.json`. An algorithm holds no training logic: the inner
loop exists once (hfmeta.inner) and the outer loop is the Trainer's. A third party subclasses `Algorithm`, one level deep.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits import HEADS, HeadInit, Plain
from hfmeta.inner.modes import GradientMode
from hfmeta.inner.rules import Clip, Sgd, Shrink

CHOICES: dict[str, tuple[Any, ...]] = {
    "order": (1, 2),
    "backward": ("auto", "full", "recompute"),
    "head": HEADS,
    "evaluator": ("auto", "looped", "vectorised", "batched"),
    "query_loss": ("last", "every_step"),
    "on_nonfinite": ("stop", "skip"),
}


@dataclass(frozen=True)
class HeadNames:
    """Names of a model's linear head: its module and tensors (`bias` is None where it has none)."""

    module: str
    weight: str
    bias: str | None


@dataclass(frozen=True)
class RowShape:
    """What a row of a support set is, for inits that read whole rows; what the model does not tell is None.

    Args:
        kind: `classification`, `regression`, `causal-lm` or `tokens`.
        name: of the model's main input.
        size: numbers of an input that is a vector.
        image: channels and side of an input that is an image.
        labels: classes, or numbers to predict; None for language models.
        features: width of the pooled features that the learner offers.
    """

    kind: str | None = None
    name: str = ""
    size: int | None = None
    image: tuple[int, int] | None = None
    labels: int | None = None
    features: int | None = None


@dataclass
class Algorithm:
    """Options that every algorithm shares.

    Args:
        inner_steps: K, inner steps in training; 0 with `head="prototype"` is episodic prototypical training, 0 with
            `test_inner_steps` above it is ordinary training on the query rows of all tasks, fine-tuned to each in evaluation.
        inner_lr: alpha, the rate of an inner step on mean losses.
        order: 2 for the exact meta-gradient, 1 for first order.
        backward: `full` keeps the graph of every inner step, `recompute` only the values between steps (a third more time),
            `auto` takes `full` below ten inner steps.
        adapt: which trainable tensors move: `all`, `head`, `adapter` (those of PEFT), or a regular expression on names.
        head: where the head of a classification model starts: `shared`, `zero` or `prototype`.
        prototype_scale: initial value of the learned factor on prototype logits.
        evaluator: `looped`, `vectorised`, `batched`, or `auto`.
        tasks_per_pass: at most so many tasks in one pass (None: all); smaller saves memory.
        test_inner_steps: inner steps in evaluation and `adapt` (None: `inner_steps`).
        inner_clip: bound on the norm of each task's inner gradient.
        inner_batch_size: rows of the support set that one inner step sees, in turn; None: all of them. With it, every count of inner
            steps here counts passes over the support set, of as many steps as it has portions.
        inner_l1: weight of a proximal L1 term in the inner loop (values shrink by inner_lr * inner_l1 at each step).
        query_loss: `last`, or `every_step`: the weighted query losses after every inner step (MAML++), annealed to the last one.
        query_loss_until: share of the run after which only the last step's query loss counts.
        first_order_until: share of the run that uses first order before the exact gradient takes over (MAML++'s annealing).
        on_nonfinite: `stop` at a task whose losses are not finite, and at an outer step whose gradient is not; or `skip` such tasks
            and steps and count them.
    """

    inner_steps: int = 1
    inner_lr: float = 0.01
    order: int = 2
    backward: str = "auto"
    adapt: str = "all"
    head: str = "shared"
    prototype_scale: float = 1.0
    evaluator: str = "auto"
    tasks_per_pass: int | None = None
    test_inner_steps: int | None = None
    inner_batch_size: int | None = None
    inner_clip: float | None = None
    inner_l1: float = 0.0
    query_loss: str = "last"
    query_loss_until: float = 0.1
    first_order_until: float = 0.0
    on_nonfinite: str = "stop"

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        problems = []
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                problems.append(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
        for name, least in (
            ("inner_steps", 0),
            ("test_inner_steps", 0),
            ("tasks_per_pass", 1),
            ("inner_batch_size", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                problems.append(f"{name} must be a whole number of at least {least}, not {value!r}")
        for name in ("query_loss_until", "first_order_until"):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is a share of the run between 0 and 1, not {getattr(self, name)!r}")
        if not self.inner_lr > 0:
            problems.append(f"inner_lr must be positive, not {self.inner_lr!r}")
        if self.inner_l1 < 0:
            problems.append(f"inner_l1 must be zero or more, not {self.inner_l1!r}")
        if self.inner_steps == 0 and self.head != "prototype" and not self.test_inner_steps:
            problems.append(
                'inner_steps=0 adapts nothing unless head="prototype" makes the head from the support set, or test_inner_steps is set'
            )
        if self.inner_batch_size is not None and getattr(self, "rates_per_step", False):
            problems.append(
                "rates_per_step counts inner steps and inner_batch_size makes passes of many; use one of them"
            )
        if problems:
            raise HfmetaError(f"{type(self).__name__}: " + "; ".join(problems) + ".")

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """The rule of the inner loop; override to change how values step.

        Args:
            theta: the adapted tensors by name, without task dimension.

        Returns:
            a module with `start(params) -> state` and `forward(params, grads, losses, state) -> (params, state)`, all stacked
            `[T, ...]`; its parameters are learned by the outer loop.
        """
        return self.wrap(Sgd(theta, self.inner_lr))

    def init(self, theta: dict[str, Tensor], head: HeadNames | None, rows: RowShape | None = None) -> nn.Module:
        """Where tasks start; override to change it.

        Args:
            theta: the adapted tensors by name, without task dimension.
            head: the linear head of a classification model; None for others.
            rows: what a support row is, for inits that read whole rows.

        Returns:
            a module with `forward(theta, support, features) -> stacks [T, ...]`, or a `Start` of these and a further outer loss;
            its parameters are learned by the outer loop.
        """
        if self.head == "shared":
            return Plain()
        if head is None or head.weight not in theta:
            raise HfmetaError(
                f'head="{self.head}" starts the head of a classification model for each task, but '
                + (
                    "this model has no linear head that hfmeta knows"
                    if head is None
                    else f"{head.weight} is not adapted"
                )
                + '. Use head="shared", or let `adapt` include the head.'
            )
        return HeadInit(head.weight, head.bias, self.head, self.prototype_scale, theta[head.weight].dtype)

    def wrap(self, rule: nn.Module) -> nn.Module:
        """Put the wrappers that the options ask for around a rule."""
        if self.inner_l1:
            rule = Shrink(rule, self.inner_lr * self.inner_l1)
        return rule if self.inner_clip is None else Clip(rule, self.inner_clip)

    def gradient_mode(self, progress: float = 1.0, track: bool = False, training: bool = False) -> GradientMode:
        """How the query loss reaches the start; override for another outer gradient than that of the inner steps.

        Args:
            progress: share of the outer run that is done.
            track: whether an outer gradient is wanted.
            training: False in evaluation and `adapt`.
        """
        return GradientMode(1 if progress < self.first_order_until else self.order, self.steps_backward, track)

    @property
    def meta_gradient(self) -> str:
        """What the outer gradient is, for results and log: `exact` or `first_order`, or an algorithm's own word."""
        return "exact" if self.order == 2 else "first_order"

    @property
    def has_private_networks(self) -> bool:
        """Whether each task owns a part of the model, cut out of a common one (CMAML)."""
        return False

    @property
    def steps_backward(self) -> str:
        """`backward` with `auto` decided."""
        if self.backward != "auto":
            return self.backward
        return "full" if self.inner_steps < 10 else "recompute"

    @property
    def eval_steps(self) -> int:
        """Inner steps in evaluation and `adapt`."""
        return self.inner_steps if self.test_inner_steps is None else self.test_inner_steps

    def to_dict(self) -> dict[str, Any]:
        """The options as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Self:
        """Build from plain values.

        Raises:
            HfmetaError: unknown options (all of them, with the nearest known name), or bad values.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = []
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                unknown.append(name + (f" (did you mean {near[0]}?)" if near else ""))
        if unknown:
            raise HfmetaError(f"{cls.__name__} has no option {', '.join(unknown)}. Options: {', '.join(known)}.")
        return cls(**dict(options))


def refuse_options_of_the_path(algorithm: Algorithm, order: int) -> None:
    """Refuse options that mean something only where the outer gradient goes back through the inner steps.

    Args:
        algorithm: one whose outer gradient depends on the end of the inner loop alone.
        order: the one it has.

    Raises:
        HfmetaError: names every such option that is set.
    """
    plain = {"order": order, "backward": "auto", "query_loss": "last", "first_order_until": 0.0}
    given = [
        f"{name}={getattr(algorithm, name)!r}" for name, value in plain.items() if getattr(algorithm, name) != value
    ]
    if given:
        raise HfmetaError(
            f"{type(algorithm).__name__}: {', '.join(given)} says how the outer gradient goes through the inner steps, but here it "
            "depends on their end alone. Leave it out, or use maml."
        )
    if algorithm.inner_steps < 1:
        raise HfmetaError(
            f"{type(algorithm).__name__}: inner_steps must be at least 1: its outer gradient comes from where the inner loop ends."
        )
