"""Named corpora in their published formats -> datasets.Dataset, and endless families; reads local folders, never downloads.

Dialogue corpora have a folder of their own, `dialogue`: splits by persona or emoji, reports of what was read,
similarity of users; photographs have `images`.
"""

from hfmeta.corpora.dialogue import (
    Contexts,
    ReadReport,
    limit_dialogues,
    load_mojitalk,
    load_persona_chat,
    load_synthetic_persona_chat,
    load_tweet_eval_emoji,
    select_users,
    split_by_emoji,
    split_by_persona,
)
from hfmeta.corpora.function_families import FunctionFamilies
from hfmeta.corpora.images import load_fine_grained, load_image_folder, load_mini_imagenet
from hfmeta.corpora.intents import load_intents, load_quickstart_intents
from hfmeta.corpora.lake_runs import LakeRuns, load_lake_runs
from hfmeta.corpora.omniglot import load_omniglot, omniglot_splits, rotate_classes
from hfmeta.corpora.sinusoid import Sinusoid

__all__ = [
    "Contexts",
    "FunctionFamilies",
    "LakeRuns",
    "ReadReport",
    "Sinusoid",
    "limit_dialogues",
    "load_fine_grained",
    "load_image_folder",
    "load_intents",
    "load_lake_runs",
    "load_mini_imagenet",
    "load_mojitalk",
    "load_omniglot",
    "load_persona_chat",
    "load_quickstart_intents",
    "load_synthetic_persona_chat",
    "load_tweet_eval_emoji",
    "omniglot_splits",
    "rotate_classes",
    "select_users",
    "split_by_emoji",
    "split_by_persona",
]
