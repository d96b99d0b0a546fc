"""PRIVATE_MLP, a PEFT method: every adapter is a private perceptron of its own; importing registers it.

Here: its configuration, layer, tuner, defaults, storage and registration. Not here: the perceptron itself
    (models/private_mlp.py) and
how its edges are pruned (adapters/pruning).
"""

from hfmeta.adapters.private_mlp.attach import attach_private_mlp
from hfmeta.adapters.private_mlp.config import PrivateMlpConfig
from hfmeta.adapters.private_mlp.layer import PrivateMlpLayer
from hfmeta.adapters.private_mlp.registration import register_private_mlp
from hfmeta.adapters.private_mlp.structure import is_gate
from hfmeta.adapters.private_mlp.tuner import PrivateMlpModel

register_private_mlp()

__all__ = [
    "PrivateMlpConfig",
    "PrivateMlpLayer",
    "PrivateMlpModel",
    "attach_private_mlp",
    "is_gate",
    "register_private_mlp",
]
