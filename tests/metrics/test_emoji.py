"""Checks of hfmeta/metrics/emoji.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import emoji_accuracy
from hfmeta.metrics.emoji import emoji_labels
from tiny import tiny_tokenizer

EMOJIS = ["😂", "❤", "😭", "😍", "🔥", "🎉", "👍"]


class Ranker(nn.Module):
    """Ranks the emojis 0, 1, 2, ... for any text but "no", for which it ranks them backwards."""

    def __init__(self, names=EMOJIS):
        super().__init__()
        self.config = SimpleNamespace(id2label=dict(enumerate(names)), name_or_path="ranker")
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, **_):
        order = torch.arange(len(self.config.id2label), dtype=torch.float32)
        no = tiny_tokenizer().convert_tokens_to_ids("no")
        return SimpleNamespace(logits=torch.stack([order if no in row else -order for row in input_ids]))


def test_top_1_and_top_5_by_hand():
    responses, targets = ["yes", "good", "bad", "no", "hello"], ["😂", "🔥", "🎉", "👍", "😂"]
    result = emoji_accuracy(responses, targets, Ranker(), tiny_tokenizer())
    assert result.top1 == pytest.approx(3 / 5)  # first, fifth, sixth, first (backwards), first
    assert result.top5 == pytest.approx(4 / 5)
    assert (result.responses, result.emojis, result.model) == (5, 7, "ranker")
    assert "classifier ranker, 7 emojis" in str(result)


def test_means_over_tasks():
    result = emoji_accuracy(["a", "a", "a"], ["😂", "😂", "👍"], Ranker(), tiny_tokenizer(), tasks=["😂", "😂", "👍"])
    assert result.top1 == 0.5


def test_the_coloured_form_is_the_same_emoji():
    assert emoji_accuracy(["a"], ["❤️"], Ranker(), tiny_tokenizer()).top5 == 1.0
    assert emoji_labels(Ranker(["❤️", "😂"]), ["😂", "❤"]) == {"❤": 0, "😂": 1}


def test_fewer_than_five_emojis():
    assert emoji_accuracy(["a"], ["❤"], Ranker(EMOJIS[:2]), tiny_tokenizer()).top5 == 1.0


def test_errors():
    tokenizer = tiny_tokenizer()
    with pytest.raises(HfmetaError, match="E-acc needs lists of one length.*1 responses, 2 targets"):
        emoji_accuracy(["a"], ["😂", "😂"], Ranker(), tokenizer)
    with pytest.raises(HfmetaError, match="the emoji classifier ranker does not know 🐍; it knows .* and 2 more"):
        emoji_accuracy(["a"], ["🐍"], Ranker(), tokenizer)
    with pytest.raises(HfmetaError, match="another label set than the corpus: it lacks 🐍 and has besides 🔥"):
        emoji_labels(Ranker(["😂", "🔥"]), ["😂", "🐍"])
    with pytest.raises(HfmetaError, match="names ❤ more than once"):
        emoji_labels(Ranker(["❤", "❤️"]))
    with pytest.raises(HfmetaError, match="config of the emoji classifier names no classes"):
        emoji_labels(Ranker(["LABEL_0", "LABEL_1"]))
