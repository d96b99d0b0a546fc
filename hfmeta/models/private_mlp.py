"""The private network of CMAML: a plain perceptron that every task owns a version of.

Here: the module, for the models that contain one and for the adapters that stand in for it. Not here: its gate and where it is fed
from (`lstm_seq2seq/`), its adapters (adapters room) and its pruning (adapters/pruning).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn, relu, tanh

from hfmeta.inner.errors import HfmetaError

LAST_ACTIVATIONS = ("tanh", "linear")


class PrivateMlp(nn.Module):
    """A multilayer perceptron with ReLU between its layers and `last` at its end; it has no memory and sees one position at a time.

    Source: Song et al. 2020 (arXiv 1910.14326), the private network of the sequence-to-sequence model.

    Args:
        sizes: widths from the input to the output, two or more; paper: 600, 600, 500, 400, 300.
        last: `tanh` or `linear`, what follows the last layer.

    Attributes:
        layers: the `nn.Linear` modules, from the input to the output.

    Raises:
        HfmetaError: fewer than two sizes, a size that is not a whole number of at least 1, or an unknown `last`.
    """

    def __init__(self, sizes: Sequence[int], last: str = "tanh"):
        super().__init__()
        check_private_sizes(sizes, last)
        self.sizes = tuple(int(size) for size in sizes)
        self.last = last
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def forward(self, z: Tensor) -> Tensor:
        """Map `z` [..., sizes[0]] to [..., sizes[-1]], every position by itself."""
        for layer in self.layers[:-1]:
            z = relu(layer(z))
        z = self.layers[-1](z)
        return tanh(z) if self.last == "tanh" else z

    def extra_repr(self) -> str:
        """What is shown beside the class name when a model is printed."""
        return f"last={self.last!r}"


def check_private_sizes(sizes: Sequence[int], last: str = "tanh") -> None:
    """Refuse widths or an end that no `PrivateMlp` can have; for configurations that want to say so early.

    Args:
        sizes: widths from the input to the output.
        last: `tanh` or `linear`.

    Raises:
        HfmetaError: see `PrivateMlp`.
    """
    shown = list(sizes)
    if len(shown) < 2:
        raise HfmetaError(
            f"private sizes {shown} are too few: give at least two, from the input width to the output width."
        )
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shown):
        raise HfmetaError(f"private sizes {shown} cannot be built: every size must be a whole number of at least 1.")
    if last not in LAST_ACTIVATIONS:
        raise HfmetaError(
            f"last={last!r} is not known to the private MLP; choose one of {', '.join(LAST_ACTIVATIONS)}."
        )
