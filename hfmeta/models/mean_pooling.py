"""Mean pooling inside a stock BERT classifier: one appended layer that averages over tokens.

Stock BERT classifiers read the first token, while sentence encoders (MiniLM and its kin) put their meaning into the mean over tokens.
Here: the weights of one more `BertLayer` that turn the one into the other, so that the result stays a plain
`BertForSequenceClassification` that any transformers opens. Not here: loading by name (`loading.py`).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification, PreTrainedModel

from hfmeta.inner.errors import HfmetaError

# The averaged state is multiplied by this before the first token's own state is added, so that the latter weighs 1 / 1024 of the mean.
# A power of two: the multiplication itself is exact.
MEAN_GAIN = 1024.0
# The layer norms leave features of unit variance; the pooler's tanh gets this fraction of them: bent by a few percent only, and the
# pooled vector's squared norm is about 0.04 * hidden_size (15 for MiniLM), a good size for a head made of class means.
POOLER_GAIN = 0.2
MARK = "hfmeta_pooling"


def append_mean_pooling(model: PreTrainedModel) -> BertForSequenceClassification:
    """A stock classifier whose head reads the mean over attended tokens (layer-normalised) instead of the first token.

    One `BertLayer` is appended. Its queries, keys and feed-forward are zero, so it attends uniformly to every attended token; its
    value is the identity and its output a large multiple of it, so that its layer norms see the mean. The pooler becomes 0.2 times
    the identity. All of these are ordinary trainable weights. The given model is left as it is, and its head is kept.

    Args:
        model: a `BertForSequenceClassification`; one that already pools the mean is returned as it is.

    Returns:
        A new model of the same class, dtype, device and mode with one more layer; `config.hfmeta_pooling` is "mean".

    Raises:
        HfmetaError: another architecture, or a BERT used as a decoder.
    """
    if not isinstance(model, BertForSequenceClassification) or model.config.is_decoder:
        raise HfmetaError(
            f"mean pooling cannot be built into {type(model).__name__}. It is supported for BertForSequenceClassification used as an "
            "encoder (BERT, MiniLM and others of model_type 'bert', is_decoder=False). Leave pooling out for this model."
        )
    if getattr(model.config, MARK, None) == "mean":
        return model
    config = copy.deepcopy(model.config)
    config.num_hidden_layers += 1
    setattr(config, MARK, "mean")
    state = model.state_dict()
    with torch.random.fork_rng(devices=[]):
        pooled = BertForSequenceClassification(config)
    nn.Module.to(pooled, device=model.device, dtype=model.dtype)
    state.update(_averaging_layer(pooled, prefix=f"bert.encoder.layer.{config.num_hidden_layers - 1}."))
    pooled.load_state_dict(state)
    return pooled.train(model.training)


def _averaging_layer(model: BertForSequenceClassification, prefix: str) -> dict[str, Tensor]:
    """The tensors of the layer named by `prefix` and of the pooler, by name in the state dict of `model`."""
    tensors = {
        name: torch.zeros_like(value)
        for name, value in model.state_dict().items()
        if name.startswith((prefix, "bert.pooler."))
    }
    identity = torch.eye(model.config.hidden_size, dtype=model.dtype, device=model.device)
    tensors[f"{prefix}attention.self.value.weight"] = identity
    tensors[f"{prefix}attention.output.dense.weight"] = MEAN_GAIN * identity
    for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
        tensors[f"{prefix}{norm}.weight"] += 1.0
    tensors["bert.pooler.dense.weight"] = POOLER_GAIN * identity
    return tensors
