"""The four-block convolutional network of the few-shot image papers (MAML, MAML++, ANIL) as a transformers model.

Here: its configuration, its normalisation by batch statistics, its forward and its registration with the Auto classes. Not here:
images (corpora room) and loading by name (`loading.py`).
"""

from __future__ import annotations

from torch import Tensor, nn, ones, zeros
from torch.nn import functional
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from hfmeta.inner.errors import HfmetaError

POOLINGS = ("stride", "max")
READOUTS = ("mean", "flatten")
ACTIVATIONS = ("relu", "leaky_relu")
STATISTICS = ("batch", "task", "fixed")
CHOICES = {"pooling": POOLINGS, "readout": READOUTS, "activation": ACTIVATIONS, "statistics": STATISTICS}


class Conv4Config(PreTrainedConfig):
    """Configuration of `Conv4ForImageClassification`; the defaults are MAML's Omniglot network (111,749 weights for 5 classes).

    Ravi and Larochelle's is MAML's miniImagenet network with `norm_scale=True, statistics="task"` (32,901 weights, all of them adapt).
    MAML's miniImagenet network is `num_channels=3, image_size=84, num_filters=32, pooling="max", readout="flatten"` with the head at
    Glorot scale; MAML++'s Omniglot network is `pooling="max", activation="leaky_relu"`.

    Args:
        num_channels: channels of an image (c).
        image_size: height and width of an image, in pixels.
        num_filters: filters of every block.
        num_blocks: how many blocks of 3x3 convolution with bias, normalisation, activation.
        pooling: how a block halves the image: `stride` (convolution of stride 2, sizes rounded up) or `max` (2x2 max-pooling after the
            activation, sizes rounded down).
        readout: what the head sees of the last map: its `mean` over positions, or all of it (`flatten`).
        activation: `relu` or `leaky_relu` (slope 0.01).
        head_init_std: standard deviation of the head's initial weights; None: Glorot-uniform like the convolutions.
        norm_eps: added to the variance in the normalisation.
        norm_scale: learn a scale of every channel after the normalisation too, not its shift alone.
        statistics: what the normalisation goes by: `batch`: the batch being forwarded, always; `task`: the same, but a meta-learner
            classifies a task's query rows in evaluation by running statistics of that task's own support passes; `fixed`: stored
            statistics, those of the task that the model was adapted to.
        statistics_momentum: weight of the newest support pass in the running statistics of `task`.

    Raises:
        HfmetaError: an unknown choice, a size below 1, or an image too small for the number of blocks.
    """

    model_type = "hfmeta-conv4"

    num_channels: int = 1
    image_size: int = 28
    num_filters: int = 64
    num_blocks: int = 4
    pooling: str = "stride"
    readout: str = "mean"
    activation: str = "relu"
    head_init_std: float | None = 1.0
    norm_eps: float = 1e-3
    norm_scale: bool = False
    statistics: str = "batch"
    statistics_momentum: float = 0.9

    def __post_init__(self, **kwargs: object) -> None:
        for key, choices in CHOICES.items():
            if getattr(self, key) not in choices:
                raise HfmetaError(
                    f"{key}={getattr(self, key)!r} is not known to conv4; choose one of {', '.join(choices)}."
                )
        for key in ("num_channels", "image_size", "num_filters", "num_blocks"):
            if getattr(self, key) < 1:
                raise HfmetaError(f"{key}={getattr(self, key)} is impossible for conv4; it must be at least 1.")
        if not 0 < self.statistics_momentum <= 1:
            raise HfmetaError(f"statistics_momentum={self.statistics_momentum} is a weight above 0, 1 at most.")
        if self.map_size < 1:
            raise HfmetaError(
                f"an image of {self.image_size} x {self.image_size} pixels is too small for {self.num_blocks} blocks with "
                f"pooling={self.pooling!r}: nothing is left of it. Use fewer blocks, larger images or pooling='stride'."
            )
        super().__post_init__(**kwargs)

    @property
    def map_size(self) -> int:
        """Height and width of the last block's output, in pixels."""
        size = self.image_size
        for _ in range(self.num_blocks):
            size = (size + 1) // 2 if self.pooling == "stride" else size // 2
        return size


class BatchStatisticsNorm(nn.Module):
    """Normalises each channel by the batch being forwarded, in training and in evaluation, and adds a learned shift.

    Predictions for one image then depend on the others of its batch, as in the reference code of MAML. Where `mean` and `variance`
    are there (stored with a model of `fixed` statistics, or put in their place by a functional call) they are used instead. The module
    itself never changes them.

    Args:
        channels: number of channels.
        eps: added to the variance.
        scale: learn a scale too.
        fixed: store a mean and a variance.
    """

    scale: Tensor
    mean: Tensor | None
    variance: Tensor | None

    def __init__(self, channels: int, eps: float, scale: bool = False, fixed: bool = False):
        super().__init__()
        self.eps = eps
        self.shift = nn.Parameter(zeros(channels))
        self.register_buffer("mean", zeros(channels) if fixed else None)
        self.register_buffer("variance", ones(channels) if fixed else None)
        if scale:
            self.scale = nn.Parameter(ones(channels))
        else:
            # Fixed at one, and a buffer: without a weight the second derivative of torch's batch norm is wrong.
            self.register_buffer("scale", ones(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` [B, channels, h, w] over B, h and w, or by the mean and variance that are given."""
        if self.mean is not None and self.variance is not None:
            factor = self.scale * (self.variance + self.eps).rsqrt()
            return x * factor[:, None, None] + (self.shift - self.mean * factor)[:, None, None]
        return functional.batch_norm(x, None, None, self.scale, self.shift, training=True, eps=self.eps)


class Conv4Block(nn.Module):
    """3x3 convolution with bias, normalisation, activation and, where asked for, 2x2 max-pooling.

    Args:
        in_channels: channels that enter.
        config: the network's configuration.
    """

    def __init__(self, in_channels: int, config: Conv4Config):
        super().__init__()
        stride = 2 if config.pooling == "stride" else 1
        self.conv = nn.Conv2d(in_channels, config.num_filters, kernel_size=3, stride=stride, padding=1)
        fixed = config.statistics == "fixed"
        self.norm = BatchStatisticsNorm(config.num_filters, config.norm_eps, config.norm_scale, fixed)
        self.slope = 0.01 if config.activation == "leaky_relu" else 0.0
        self.max_pool = config.pooling == "max"

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, h, w] to [B, num_filters, about h / 2, about w / 2]."""
        x = self.norm(self.conv(x))
        x = functional.leaky_relu(x, self.slope) if self.slope else functional.relu(x)
        return functional.max_pool2d(x, 2) if self.max_pool else x


class Conv4ForImageClassification(PreTrainedModel):
    """Blocks of convolution and batch-statistics normalisation with a linear `classifier` on top.

    Source: Finn et al. 2017 (arXiv 1703.03400) and its code; variants of Antoniou et al. 2019 (MAML++) and of Ravi and Larochelle 2017
    (LSTM meta-learner) by configuration.

    Args:
        config: a `Conv4Config`; `config.num_labels` is the number of classes (C).
    """

    config_class = Conv4Config
    base_model_prefix = "conv4"
    main_input_name = "pixel_values"

    def __init__(self, config: Conv4Config):
        super().__init__(config)
        channels = [config.num_channels] + [config.num_filters] * (config.num_blocks - 1)
        self.blocks = nn.ModuleList(Conv4Block(entering, config) for entering in channels)
        positions = 1 if config.readout == "mean" else config.map_size**2
        self.classifier = nn.Linear(config.num_filters * positions, int(config.num_labels or 0))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            if isinstance(module, nn.Linear) and self.config.head_init_std is not None:
                init.normal_(module.weight, std=self.config.head_init_std)
            else:
                init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, BatchStatisticsNorm):
            init.ones_(module.scale)
            init.zeros_(module.shift)
            if module.mean is not None and module.variance is not None:
                init.zeros_(module.mean)
                init.ones_(module.variance)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> ImageClassifierOutputWithNoAttention:
        """Classify images, each seen together with the rest of its batch.

        Args:
            pixel_values: [B, c, h, w], float.
            labels: [B], int64; the loss is the mean cross-entropy in nats over labels other than -100.

        Returns:
            `loss` (scalar or None) and `logits` [B, C].
        """
        x = pixel_values
        for block in self.blocks:
            x = block(x)
        features = x.mean(dim=(2, 3)) if self.config.readout == "mean" else x.flatten(1)
        logits = self.classifier(features)
        loss = None if labels is None else functional.cross_entropy(logits, labels, ignore_index=-100)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)


AutoConfig.register("hfmeta-conv4", Conv4Config, exist_ok=True)
AutoModelForImageClassification.register(Conv4Config, Conv4ForImageClassification, exist_ok=True)
