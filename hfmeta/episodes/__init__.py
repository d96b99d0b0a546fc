"""Episodes from any datasets.Dataset or endless family; knows nothing of learners.

An episode is `{"support": {name: [S, ...]}, "query": {name: [Q, ...]}, "task": int}`; a batch stacks T of them.
"""

from hfmeta.episodes.collation import collate_episodes
from hfmeta.episodes.dataset import EpisodeDataset
from hfmeta.episodes.encoding import (
    TASK_TYPES,
    CausalLMEncoder,
    Encoder,
    ImageClassificationEncoder,
    RegressionEncoder,
    Seq2SeqLMEncoder,
    SequenceClassificationEncoder,
    build_encoder,
    encoder_from_dict,
    infer_task_type,
)
from hfmeta.episodes.errors import EpisodeError
from hfmeta.episodes.fixed import FixedEpisodes
from hfmeta.episodes.generators import Episode, EpisodeGenerator, uniforms
from hfmeta.episodes.sampling import Draw, EpisodeSampler
from hfmeta.episodes.splits import (
    check_disjoint,
    load_split,
    save_split,
    shared_inputs,
    split_rows,
    split_sha256,
    split_tasks,
)

__all__ = [
    "TASK_TYPES",
    "CausalLMEncoder",
    "Draw",
    "Encoder",
    "Episode",
    "EpisodeDataset",
    "EpisodeError",
    "EpisodeGenerator",
    "EpisodeSampler",
    "FixedEpisodes",
    "ImageClassificationEncoder",
    "RegressionEncoder",
    "Seq2SeqLMEncoder",
    "SequenceClassificationEncoder",
    "build_encoder",
    "check_disjoint",
    "collate_episodes",
    "encoder_from_dict",
    "infer_task_type",
    "load_split",
    "save_split",
    "shared_inputs",
    "split_rows",
    "split_sha256",
    "split_tasks",
    "uniforms",
]
