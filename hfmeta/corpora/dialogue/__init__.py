"""Dialogue corpora in their raw formats -> tables with a task column (a persona, an emoji), their splits, and how alike users are."""

from hfmeta.corpora.dialogue.mojitalk import emoji_labels, load_mojitalk, split_by_emoji
from hfmeta.corpora.dialogue.persona_chat import PersonaDialogue, load_persona_chat, read_persona_chat
from hfmeta.corpora.dialogue.persona_maps import read_persona_map, write_persona_map
from hfmeta.corpora.dialogue.personas import group_personas, persona_key
from hfmeta.corpora.dialogue.report import ReadReport
from hfmeta.corpora.dialogue.rows import dialogue_counts, limit_dialogues
from hfmeta.corpora.dialogue.similarity import (
    dissimilar_subset,
    mean_similarity,
    persona_similarity,
    personas_of,
    select_users,
    similar_subset,
    similarity_matrix,
)
from hfmeta.corpora.dialogue.splitting import split_by_persona
from hfmeta.corpora.dialogue.synthetic import (
    SyntheticDialogue,
    load_synthetic_persona_chat,
    read_persona_groups,
    read_synthetic_persona_chat,
)
from hfmeta.corpora.dialogue.text import MASK, Contexts, mask_placeholders, words
from hfmeta.corpora.dialogue.tweet_eval import load_tweet_eval_emoji

__all__ = [
    "MASK",
    "Contexts",
    "PersonaDialogue",
    "ReadReport",
    "SyntheticDialogue",
    "dialogue_counts",
    "dissimilar_subset",
    "emoji_labels",
    "group_personas",
    "limit_dialogues",
    "load_mojitalk",
    "load_persona_chat",
    "load_synthetic_persona_chat",
    "load_tweet_eval_emoji",
    "mask_placeholders",
    "mean_similarity",
    "persona_key",
    "persona_similarity",
    "personas_of",
    "read_persona_chat",
    "read_persona_groups",
    "read_persona_map",
    "read_synthetic_persona_chat",
    "select_users",
    "similar_subset",
    "similarity_matrix",
    "split_by_emoji",
    "split_by_persona",
    "words",
    "write_persona_map",
]
