"""The regression network of the MAML paper (sinusoid: 1-40-40-1) as a transformers model.

Here: its configuration, its forward and its registration with the Auto classes. Not here: functions to fit (corpora room) and loading
by name (`loading.py`).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput

from hfmeta.inner.errors import HfmetaError


class MlpConfig(PreTrainedConfig):
    """Configuration of `MlpForRegression`; the defaults are the sinusoid network of Finn et al. 2017 (arXiv 1703.03400).

    Args:
        input_size: numbers per example (d).
        hidden_sizes: width of every hidden layer; a ReLU follows each.
        output_size: numbers predicted per example (o).
        init_std: weights start from a normal of this standard deviation cut at two of them; biases start at 0.

    Raises:
        HfmetaError: a size below 1.
    """

    model_type = "hfmeta-mlp"

    input_size: int = 1
    hidden_sizes: list[int] | tuple[int, ...] = (40, 40)
    output_size: int = 1
    init_std: float = 0.01

    def __post_init__(self, **kwargs: object) -> None:
        self.hidden_sizes = list(self.hidden_sizes)
        sizes = [self.input_size, *self.hidden_sizes, self.output_size]
        if min(sizes) < 1:
            raise HfmetaError(f"an MLP with layer sizes {sizes} cannot be built: every size must be at least 1.")
        super().__post_init__(**kwargs)


class MlpForRegression(PreTrainedModel):
    """A multilayer perceptron with ReLU and no normalisation; its loss is the mean squared error.

    Args:
        config: an `MlpConfig`. The last layer is `head`, a Linear.
    """

    config_class = MlpConfig
    base_model_prefix = "mlp"
    main_input_name = "inputs"

    def __init__(self, config: MlpConfig):
        super().__init__(config)
        sizes = [config.input_size, *config.hidden_sizes]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.head = nn.Linear(sizes[-1], config.output_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            std = self.config.init_std
            init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            init.zeros_(module.bias)

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> SequenceClassifierOutput:
        """Predict `o` numbers for each example.

        Args:
            inputs: [B, d], float.
            labels: [B, o], float; with them the loss is the mean over all B * o squared differences.

        Returns:
            `loss` (scalar or None) and `logits` [B, o].
        """
        hidden = inputs
        for layer in self.layers:
            hidden = relu(layer(hidden))
        logits = self.head(hidden)
        loss = None if labels is None else (logits - labels).square().mean()
        return SequenceClassifierOutput(loss=loss, logits=logits)


AutoConfig.register("hfmeta-mlp", MlpConfig, exist_ok=True)
AutoModel.register(MlpConfig, MlpForRegression, exist_ok=True)
