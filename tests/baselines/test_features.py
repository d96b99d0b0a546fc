"""Checks of hfmeta/baselines/features.py: features equal those of a plain pass, each distinct row passes once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.baselines import frozen_features
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators.head import captured_input
from hfmeta.models import head_of, mixes_rows
from tiny import random_batch, seeded, tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, tiny_vit


def episodes_of(batch):
    """The episodes of a batch, one by one."""
    return [
        {side: {name: value[t] for name, value in batch[side].items()} for side in ("support", "query")} | {"task": t}
        for t in range(len(batch["task"]))
    ]


def plain(model, rows):
    """What the head reads in one ordinary pass over a set."""
    inputs = {name: value for name, value in rows.items() if name != "labels"}
    with torch.no_grad(), captured_input(head_of(model)[1]) as seen:
        model.eval()(**inputs)
    return seen[0]


@pytest.mark.parametrize(
    ("build", "task"),
    [
        (tiny_bert, "sequence-classification"),
        (tiny_vit, "image-classification"),
        (tiny_conv4, "image-classification"),
        (tiny_mlp, "regression"),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, 4, 256])
def test_features_equal_a_plain_pass_over_each_set(build, task, batch_rows):
    model = build(dtype=torch.float64)
    episodes = episodes_of(random_batch(task, T=3, dtype=torch.float64))
    features = frozen_features(model, episodes, batch_rows)
    assert len(features) == 3
    for found, episode in zip(features, episodes, strict=True):
        torch.testing.assert_close(found.support, plain(model, episode["support"]), rtol=0, atol=1e-12)
        torch.testing.assert_close(found.query, plain(model, episode["query"]), rtol=0, atol=1e-12)
        assert torch.equal(found.support_labels, episode["support"]["labels"])
        assert torch.equal(found.query_labels, episode["query"]["labels"])
        assert not found.support.requires_grad


def passes(model, episodes, batch_rows=256):
    """Shapes of the token batches that reach the encoder."""
    shapes = []
    handle = model.bert.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple((args[0] if args else kwargs["input_ids"]).shape)),
        with_kwargs=True,
    )
    features = frozen_features(model, episodes, batch_rows)
    handle.remove()
    return features, shapes


def test_each_distinct_row_passes_once_sorted_and_without_padding():
    batch = random_batch("sequence-classification", T=4, S=5, Q=4, L=9)
    episodes = episodes_of(batch)
    wider = [
        {
            **episode,
            "query": {
                name: nn.functional.pad(value, (0, 5)) if value.dim() > 1 else value
                for name, value in episode["query"].items()
            },
        }
        for episode in episodes
    ]
    model = tiny_bert()
    features, shapes = passes(model, episodes + wider + episodes, batch_rows=6)
    distinct = {
        tuple(ids[mask.bool()].tolist())
        for side in ("support", "query")
        for ids, mask in zip(
            batch[side]["input_ids"].flatten(0, 1), batch[side]["attention_mask"].flatten(0, 1), strict=True
        )
    }
    assert sum(rows for rows, _ in shapes) == len(distinct) <= 36
    assert [width for _, width in shapes] == sorted(width for _, width in shapes)
    assert shapes[-1][1] == 9
    for first, again in zip(features[:4], features[4:8], strict=True):
        assert torch.equal(first.query, again.query)


def test_rows_without_a_mask():
    model = tiny_bert(dtype=torch.float64)
    episodes = episodes_of(random_batch("sequence-classification", padded=False))
    bare = [
        {side: {k: v for k, v in episode[side].items() if k != "attention_mask"} for side in ("support", "query")}
        for episode in episodes
    ]
    for one, other in zip(frozen_features(model, bare), frozen_features(model, episodes), strict=True):
        torch.testing.assert_close(one.query, other.query, rtol=0, atol=1e-13)


def test_the_model_keeps_its_weights_and_every_modules_mode():
    model = tiny_bert().train()
    model.bert.embeddings.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen_features(model, episodes_of(random_batch("sequence-classification")))
    assert model.training
    assert model.classifier.training
    assert not model.bert.embeddings.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_which_models_mix_rows():
    assert mixes_rows(tiny_conv4())
    assert mixes_rows(nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)))
    assert not mixes_rows(nn.Sequential(nn.BatchNorm1d(3)))
    assert not mixes_rows(tiny_bert())


def test_a_head_on_tokens_is_refused():
    model = seeded(tiny_gpt2)
    batch = random_batch("causal-lm")
    with pytest.raises(HfmetaError, match="features need one vector a row"):
        frozen_features(model, episodes_of(batch))
    with pytest.raises(HfmetaError, match="has no linear layer, so it has no head"):
        frozen_features(nn.Embedding(2, 2), episodes_of(batch))
