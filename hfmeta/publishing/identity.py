"""Who a learner is, for what is made on it and means nothing on another: its private adapters and their bank.

The identity is a name and a fingerprint of what the learner has learned. The name is the repository's where it was pushed; the
fingerprint is the same wherever the learner lies. Both are written into the config of the model that is published, where a private
adapter looks for them (hfmeta.adapters.private_mlp.identity).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hfmeta.adapters.private_mlp.identity import FINGERPRINT
from hfmeta.algorithms import algorithm_origin

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner

KEYS = ("base_learner", "base_learner_revision")
SAMPLED = 1024
"""Values of each tensor of a base that its fingerprint looks at."""


def learner_identity(learner: MetaLearner, name: str | None = None) -> tuple[str, str]:
    """The name of a learner and the fingerprint of its values.

    Args:
        learner: whose trainable tensors, rule and init are fingerprinted; frozen ones belong to a base of its own name.
        name: the repository; None: what the learner was published as, else its algorithm and the type of its model.
    """
    digest = hashlib.sha256()
    trained = {key: value for key, value in learner.model.named_parameters() if value.requires_grad}
    own = {
        f"{part}.{key}": value
        for part in ("rule", "init")
        for key, value in getattr(learner, part).state_dict().items()
    }
    for key, value in sorted((trained | own).items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    if name is None:
        name = getattr(_config(learner.model), KEYS[0], None)
    if name is None:
        origin = algorithm_origin(type(learner.algorithm))
        kind = getattr(_config(learner.model), "model_type", type(learner.model).__name__)
        name = f"{origin[0] if origin else type(learner.algorithm).__name__} on {kind}"
    return str(name), FINGERPRINT + digest.hexdigest()[:32]


def base_fingerprint(weights: Mapping[str, Tensor], body: str) -> str:
    """A fingerprint of a base model's body: names, types, shapes, and values spread over every tensor.

    It tells another model, another revision or a fine-tuned copy apart and takes milliseconds; against somebody who changes single
    weights on purpose a commit of the hub is the guard. Heads are left out: where they are drawn anew they are not the base's.

    Args:
        weights: the base's tensors under its own names.
        body: what the names of the body begin with; the whole model where none does.
    """
    digest = hashlib.sha256()
    names = [name for name in weights if name.startswith(f"{body}.")] or list(weights)
    for name in sorted(names):
        value = weights[name].detach().reshape(-1)
        few = value[:: max(1, -(-value.numel() // SAMPLED))].cpu().contiguous()
        digest.update(f"{name} {few.dtype} {tuple(weights[name].shape)}".encode())
        digest.update(few.view(torch.uint8).numpy().data)
    return FINGERPRINT + digest.hexdigest()[:32]


@contextmanager
def identified(model: Any, identity: tuple[str, str] | None) -> Iterator[None]:
    """Within: the model's config says whose it is, so that files written meanwhile do; afterwards it is as it was."""
    config = _config(model)
    if identity is None or config is None:
        yield
        return
    before = {key: getattr(config, key) for key in KEYS if hasattr(config, key)}
    try:
        for key, value in zip(KEYS, identity, strict=True):
            setattr(config, key, value)
        yield
    finally:
        forget_identity(model)
        for key, value in before.items():
            setattr(config, key, value)


def forget_identity(model: Any) -> None:
    """Take a learner's identity out of a model's config, once its values are no longer the learner's."""
    config = _config(model)
    for key in KEYS:
        if hasattr(config, key):
            delattr(config, key)


def _config(model: Any) -> Any:
    return getattr(model, "config", None)
