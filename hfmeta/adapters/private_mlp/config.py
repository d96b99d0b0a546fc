"""The configuration of a private adapter, as `adapter_config.json` holds it. Not here: what is done with it (tuner.py, layer.py)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftType
from safetensors import SafetensorError, safe_open

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.private_mlp import check_private_sizes

NAME = "PRIVATE_MLP"
GATES = ("diagonal", "full")
WEIGHTS_FILE, CARD_FILE = "adapter_model.safetensors", "README.md"
CARD_MARK = "import hfmeta"
CARD_TEXT = """
## How to open this adapter

This is a private adapter (`PRIVATE_MLP`), a PEFT method that the package `hfmeta` brings: `pip install hfmeta`, then

```python
import hfmeta  # registers PRIVATE_MLP with PEFT
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "path or repository of this adapter")
```
"""


def _help(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass
class PrivateMlpConfig(PeftConfig):
    """How private adapters are put on a model.

    A target is one of two kinds. A module that is itself a `PrivateMlp` (Seq2SPG's `decoder.private`) is stood in for:
    while the adapter is active, the adapter's own perceptron of the same sizes answers. Any other target (a
    transformer block, a linear layer) keeps its answer, and `sigmoid(gate) * private(input)` is added to it.

    Source: Song et al. 2020 (arXiv 1910.14326), the private module and its gate, of which the form on a transformer
        block is ours.

    Args:
        target_modules: ends of module names, or a regular expression that matches whole names, or `all-linear`; None:
            the blocks (or the private module) of the model types in `targets.py`.
        exclude_modules: the same, for modules to leave alone.
        hidden_sizes: inner widths of the perceptron beside a block; one number is a bottleneck. A `PrivateMlp` target
            has its own sizes.
        last: what ends the perceptron beside a block, `linear` or `tanh`. A `PrivateMlp` target has its own.
        gate: `diagonal` (three numbers for each feature) or `full` (two linear maps, as in the paper) for the logits
            of the gate, which read the block's output and the perceptron's. The gate's tensors have `.gate.` in their
            names.
        init_weights: True: nothing changes at first (the perceptron's last layer is zero; a stand-in is a copy of the
            base's values).
            False: a random start.
        layers_to_transform: indices of the blocks that get an adapter; None: all.
        layers_pattern: name (or regular expression) of the list of blocks that the indices count in; None: the first
            in the name.
        modules_to_save: modules that are trained and saved whole beside the adapter.
        sparse: store a tensor that is mostly exact zeros as its kept values and one bit per entry, wherever that is
            smaller. PEFT opens it like any other; transformers' own `load_adapter` refuses such a file, and takes those that
            `learner.save_private(..., sparse=False)` or `export(..., sparse=False)` write.
        base_learner: identity of the learner whose base this adapter was made on; None: taken from the model where it
            knows it.
        base_learner_revision: its revision.

    Raises:
        HfmetaError: sizes, an end or a gate that do not exist, or layer indices without a list to count in.
    """

    target_modules: list[str] | str | None = field(default=None, metadata=_help("Modules that get an adapter."))
    exclude_modules: list[str] | str | None = field(default=None, metadata=_help("Modules that get none."))
    hidden_sizes: list[int] = field(default_factory=lambda: [64], metadata=_help("Inner widths beside a block."))
    last: str = field(default="linear", metadata=_help("End of the perceptron beside a block: linear or tanh."))
    gate: str = field(default="diagonal", metadata=_help("Form of the gate's logits: diagonal or full."))
    init_weights: bool = field(default=True, metadata=_help("Whether the start changes nothing."))
    layers_to_transform: list[int] | int | None = field(default=None, metadata=_help("Indices of the blocks."))
    layers_pattern: list[str] | str | None = field(default=None, metadata=_help("Name of the list of blocks."))
    modules_to_save: list[str] | None = field(default=None, metadata=_help("Modules trained and saved whole."))
    sparse: bool = field(default=False, metadata=_help("Store mostly-zero tensors as kept values and bits."))
    base_learner: str | None = field(default=None, metadata=_help("The learner this adapter belongs to."))
    base_learner_revision: str | None = field(default=None, metadata=_help("The learner's revision."))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(NAME)
        if isinstance(self.hidden_sizes, int):
            self.hidden_sizes = [self.hidden_sizes]
        self.hidden_sizes = list(self.hidden_sizes)
        check_private_sizes([1, *self.hidden_sizes, 1], self.last)
        if self.gate not in GATES:
            raise HfmetaError(
                f"gate={self.gate!r} is not known to a private adapter; choose one of {', '.join(GATES)}."
            )
        if self.layers_pattern and self.layers_to_transform is None:
            raise HfmetaError("layers_pattern counts nothing by itself: give layers_to_transform too, or neither.")
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            setattr(self, name, set(value) if isinstance(value, list) else value)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, with the unordered ones sorted, so that equal configurations make equal files."""
        return {name: sorted(value) if isinstance(value, set) else value for name, value in super().to_dict().items()}

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Write `adapter_config.json`, and tell a model card that lies beside it how the adapter is opened."""
        super().save_pretrained(save_directory, **kwargs)
        card = Path(save_directory) / CARD_FILE
        if card.is_file():
            text = card.read_text(encoding="utf-8")
            if CARD_MARK not in text:
                card.write_text(text.rstrip("\n") + "\n" + CARD_TEXT, encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str, subfolder: str | None = None, **kwargs: Any
    ) -> PeftConfig:
        """Read a configuration; PEFT does so before it reads the tensors, whose file is looked over here where it is
        local.

        Raises:
            HfmetaError: a file of tensors that is cut short or no safetensors file.
        """
        weights = os.path.join(pretrained_model_name_or_path, subfolder or "", WEIGHTS_FILE)
        if os.path.isfile(weights):
            try:
                with safe_open(weights, "pt"):
                    pass
            except (SafetensorError, OSError) as error:
                raise HfmetaError(
                    f"the adapter file {weights} is cut short or damaged ({error}). Save or download it again."
                ) from error
        return super().from_pretrained(pretrained_model_name_or_path, subfolder=subfolder, **kwargs)
