"""The task gate of HSML (Yao et al. 2019): learned values times gates that a task's support set decides."""

from hfmeta.inner.inits.task_gate.embedding import Gru, PooledEmbedding, RecurrentEmbedding
from hfmeta.inner.inits.task_gate.gate import Portrait, TaskGate
from hfmeta.inner.inits.task_gate.gates import Gates, Ones
from hfmeta.inner.inits.task_gate.initial import Like, like
from hfmeta.inner.inits.task_gate.rows import ConvolutionalRows, FeatureRows, RawRows
from hfmeta.inner.inits.task_gate.tree import ASSIGNMENTS, Tree, check_widths

__all__ = [
    "ASSIGNMENTS",
    "ConvolutionalRows",
    "FeatureRows",
    "Gates",
    "Gru",
    "Like",
    "Ones",
    "PooledEmbedding",
    "Portrait",
    "RawRows",
    "RecurrentEmbedding",
    "TaskGate",
    "Tree",
    "check_widths",
    "like",
]
