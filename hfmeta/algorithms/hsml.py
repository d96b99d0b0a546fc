"""HSML: a task's support set decides, over soft clusters of tasks, how much of each learned value it starts from (Yao et al. 2019).

Here: the options, and which parts they make. The parts: hfmeta.inner.inits.task_gate; adding clusters to a learner: hfmeta.learner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from hfmeta.adapters.pruning import find_rank_pairs
from hfmeta.algorithms.base import Algorithm, HeadNames, RowShape
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits.task_gate import (
    ASSIGNMENTS,
    ConvolutionalRows,
    FeatureRows,
    Gates,
    Like,
    Ones,
    PooledEmbedding,
    RawRows,
    RecurrentEmbedding,
    TaskGate,
    Tree,
    check_widths,
    like,
)
from hfmeta.inner.rules import Sgd

EMBEDDINGS = ("rnn", "mean", "max")
GATES = ("element", "tensor", "rank", "ones")
ROWS = ("auto", "raw", "convolutional", "features")


@dataclass
class Hsml(Algorithm):
    """MAML whose start is the learned values times gates computed from the support set, through a tree of soft clusters.

    Args (besides those of `Algorithm`):
        embedding: how the support rows become one vector g: `rnn`, or dense layers and the `mean` or `max` over rows.
        size: d, numbers of g and of every cluster.
        encoder_size: width of a row before the recurrent encoder (raw numbers and features), inner width of the pooled one; the
            authors: 20 for regression, 96 for images.
        tree: clusters of each level, ending in 1, the root; [] for no tree.
        sigma: width of the first level's clusters; the authors: sqrt(2) for regression, sqrt(10) for images.
        assignment: of later levels: `linear` (the authors' code) or `gaussian` (the paper).
        xi: weight of the reconstruction in the outer loss, on a mean query loss; 0: no decoder.
        gate: a gate per `element` (the paper), per `tensor`, per `rank` of a LoRA (per tensor for others), or frozen at `ones`: MAML.
        gate_scale: gates lie between 0 and it; 1 in the paper, 2 starts pretrained values near their own.
        represent: what is embedded of a row: `raw` numbers (regression), a `convolutional` encoder's view (images), the model's own
            `features` before it adapts; `auto`: the first of these that the model has.
        detach_features: the model does not learn from how its features are embedded.
        embed_rows: rows of the support set that are embedded, the first ones (None: all).
        rates: inner rates `fixed`, or learned per `scalar`, `tensor` or `element`.

    Example:
        >>> Hsml(tree=[4, 1], inner_lr=0.001).gate
        'element'
    """

    inner_steps: int = 5
    embedding: str = "rnn"
    size: int = 40
    encoder_size: int = 20
    tree: list[int] = field(default_factory=lambda: [4, 2, 1])
    sigma: float = 2**0.5
    assignment: str = "linear"
    xi: float = 0.01
    gate: str = "element"
    gate_scale: float = 1.0
    represent: str = "auto"
    detach_features: bool = False
    embed_rows: int | None = None
    rates: str = "fixed"

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        super().__post_init__()
        problems = []
        choices = {"embedding": EMBEDDINGS, "gate": GATES, "represent": ROWS, "assignment": ASSIGNMENTS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                problems.append(f"{name} must be one of {', '.join(map(repr, known))}, not {getattr(self, name)!r}")
        for name in ("size", "encoder_size", "embed_rows"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                problems.append(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("sigma", "gate_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                problems.append(f"{name} must be positive, not {getattr(self, name)!r}")
        if not 0 <= self.xi < float("inf"):
            problems.append(f"xi must be zero or more, not {self.xi!r}")
        self.tree = list(self.tree or [])
        if self.tree:
            try:
                check_widths(self.tree)
            except HfmetaError as error:
                problems.append(str(error).removesuffix("."))
        if problems:
            raise HfmetaError(f"{type(self).__name__}: " + "; ".join(problems) + ".")

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Gradient descent with the rates that the options name."""
        return self.wrap(Sgd(theta, self.inner_lr, self.rates))

    def init(self, theta: dict[str, Tensor], head: HeadNames | None, rows: RowShape | None = None) -> nn.Module:
        """The task gate, around the init that `head` names; its parts are drawn from torch's global generator, as any module's."""
        begin = super().init(theta, head, rows)
        where = like(next(iter(theta.values())))
        frozen = self.gate == "ones"
        rows = rows or RowShape()
        encoder = self._rows(rows, where)
        decode = self.xi > 0 and not frozen
        embedding: RecurrentEmbedding | PooledEmbedding
        if self.embedding == "rnn":
            # Images are not mapped in the authors' code: their rows come out of dense layers.
            mapped = None if isinstance(encoder, ConvolutionalRows) else self.encoder_size
            embedding = RecurrentEmbedding(encoder.width, mapped, self.size, decode, where)
        else:
            embedding = PooledEmbedding(encoder.width, self.encoder_size, self.size, self.embedding, decode, where)
        tree = Tree(self.tree, self.size, self.sigma, self.assignment, where) if self.tree else None
        made = () if head is None or self.head == "shared" else (head.weight, head.bias)
        shapes = gate_shapes({name: value for name, value in theta.items() if name not in made}, self.gate)
        gates = Ones(shapes) if frozen else Gates(shapes, 2 * self.size, self.gate_scale, where)
        gate = TaskGate(begin, encoder, embedding, tree, gates, self.xi, self.embed_rows)
        if frozen:  # nothing depends on them then; what makes a head goes on learning
            for part in (encoder, embedding, tree):
                if part is not None:
                    part.requires_grad_(False)
        return gate

    def _rows(self, rows: RowShape, where: Like) -> RawRows | ConvolutionalRows | FeatureRows:
        """How a support row becomes a vector.

        Raises:
            HfmetaError: this model has no rows of that kind.
        """
        labels = rows.labels or 0
        raw = rows.size is not None and rows.kind == "regression"
        images = rows.image is not None and rows.kind == "classification"
        chosen = self.represent
        if chosen == "auto":
            chosen = "raw" if raw else "convolutional" if images else "features"
        if chosen == "raw" and raw and rows.size is not None:
            return RawRows(rows.name, rows.size + labels)
        if chosen == "convolutional" and images and rows.image is not None:
            return ConvolutionalRows(rows.name, *rows.image, labels, where)
        if chosen == "features" and rows.features is not None:
            return FeatureRows(rows.features, labels, rows.kind == "classification", self.detach_features)
        has = [name for name, there in (("raw", raw), ("convolutional", images), ("features", rows.features)) if there]
        raise HfmetaError(
            f"Hsml: represent={self.represent!r} needs "
            + {
                "raw": "a regression model whose configuration has input_size",
                "convolutional": "an image classifier whose configuration has image_size and num_channels",
                "features": "a model with a linear head or output embeddings, whose inputs are its features",
            }[chosen]
            + f". This model has {', '.join(has) or 'none of the three'}."
        )


def gate_shapes(theta: Mapping[str, Tensor], gate: str) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor's gates, which broadcasts over the tensor.

    Args:
        theta: the tensors to gate, by name.
        gate: `element` and `ones`: the tensor's own shape; `tensor`: ones; `rank`: for a LoRA one number per rank, on A and on B.

    Raises:
        HfmetaError: `rank` where there is no LoRA, or no tensor to gate.
    """
    if not theta:
        raise HfmetaError(
            'there is nothing to gate: every adapted tensor belongs to a head that tasks make themselves. Use adapt="all".'
        )
    if gate in ("element", "ones"):
        return {name: tuple(value.shape) for name, value in theta.items()}
    shapes = {name: (1,) * value.dim() for name, value in theta.items()}
    if gate == "rank":
        pairs = [pair for pair in find_rank_pairs(list(theta)) if pair.a in theta and pair.b in theta]
        if not pairs:
            raise HfmetaError(
                'gate="rank" needs a LoRA among the adapted tensors; use gate="tensor" or "element" for other models.'
            )
        for pair in pairs:
            a, b = theta[pair.a], theta[pair.b]
            shapes[pair.a] = (a.shape[0], *(1,) * (a.dim() - 1))
            shapes[pair.b] = (1, b.shape[1], *(1,) * (b.dim() - 2))
    return shapes
