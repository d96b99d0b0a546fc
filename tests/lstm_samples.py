"""The reference dialogue models, and a padded batch for them."""

from __future__ import annotations

import torch

from hfmeta.models import (
    LstmSeq2SeqForConditionalGeneration,
    Seq2SpgForConditionalGeneration,
    SpeakerForConditionalGeneration,
)
from tiny import random_batch

NAMES = {
    "hfmeta-lstm-seq2seq": LstmSeq2SeqForConditionalGeneration,
    "hfmeta-seq2spg": Seq2SpgForConditionalGeneration,
    "hfmeta-speaker": SpeakerForConditionalGeneration,
}


def rows(seed=0, dtype=torch.float64):
    """A padded batch: input_ids, attention_mask, labels."""
    return {
        name: value[0] for name, value in random_batch("seq2seq-lm", S=5, dtype=dtype, seed=seed)["support"].items()
    }
