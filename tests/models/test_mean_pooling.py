"""Checks of hfmeta/models/mean_pooling.py: the head of a stock class reads the mean over attended tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators.head import captured_input
from hfmeta.models import append_mean_pooling
from tiny import VOCAB_SIZE, seeded, tiny_bert, tiny_gpt2

IDS = torch.randint(5, VOCAB_SIZE, (4, 9), generator=torch.Generator().manual_seed(3))
MASK = (torch.arange(9) < torch.tensor([[9], [5], [1], [7]])).long()


def features(model, ids=IDS, mask=MASK):
    with torch.no_grad(), captured_input(model.classifier) as seen:
        model.eval()(input_ids=ids, attention_mask=mask)
    return seen[0]


def mean_of_tokens(model):
    with torch.no_grad():
        states = model.eval().bert(input_ids=IDS, attention_mask=MASK).last_hidden_state
    return (states * MASK[..., None]).sum(1) / MASK.sum(1, keepdim=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-3), (torch.float64, 2e-3)])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_features_are_the_normalised_mean_over_attended_tokens(dtype, tolerance, attention):
    model = tiny_bert(dtype=dtype)
    model.set_attn_implementation(attention)
    pooled = append_mean_pooling(model)
    assert pooled.dtype == dtype
    assert pooled.config._attn_implementation == attention
    mean = mean_of_tokens(model)
    expected = torch.tanh(0.2 * F.layer_norm(mean, mean.shape[-1:], eps=1e-12))
    torch.testing.assert_close(features(pooled), expected, rtol=0, atol=tolerance)
    assert (features(model) - expected).abs().max() > 0.1  # and the first token's are something else


def test_squared_norm_suits_a_head_of_class_means():
    norms = features(append_mean_pooling(tiny_bert(hidden_size=384, num_attention_heads=12))).square().sum(-1)
    assert ((norms > 10) & (norms < 20)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_changes_nothing(dtype):
    pooled = append_mean_pooling(tiny_bert(dtype=dtype))
    alone = torch.cat([features(pooled, IDS[i : i + 1, :n], MASK[i : i + 1, :n]) for i, n in enumerate(MASK.sum(1))])
    wider = features(pooled, F.pad(IDS, (0, 6)), F.pad(MASK, (0, 6)))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(features(pooled), alone, rtol=0, atol=tolerance)
    torch.testing.assert_close(wider, alone, rtol=0, atol=tolerance)


def test_stock_classes_open_the_result(tmp_path):
    pooled = append_mean_pooling(tiny_bert(num_labels=3))
    pooled.save_pretrained(tmp_path)
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(opened) is BertForSequenceClassification
    assert opened.config.num_hidden_layers == 3
    assert torch.equal(features(opened), features(pooled))
    assert torch.equal(opened(IDS, MASK).logits, pooled(IDS, MASK).logits)


def test_the_given_model_stays_as_it_is_and_shares_nothing():
    model = tiny_bert().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    pooled = append_mean_pooling(model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.config.num_hidden_layers == len(model.bert.encoder.layer) == 2
    assert pooled.training
    assert model.training
    assert torch.equal(pooled.classifier.weight, model.classifier.weight)
    for value in pooled.parameters():
        value.data.zero_()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_model_that_pools_already_is_returned(tmp_path):
    pooled = append_mean_pooling(tiny_bert())
    assert append_mean_pooling(pooled) is pooled
    pooled.save_pretrained(tmp_path)
    opened = BertForSequenceClassification.from_pretrained(tmp_path)
    assert append_mean_pooling(opened) is opened


def test_the_encoder_below_still_gets_its_gradient():
    pooled = append_mean_pooling(tiny_bert()).eval()
    loss = pooled(IDS, MASK, labels=torch.tensor([0, 1, 2, 3])).loss
    names = ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.weight"]
    tensors = dict(pooled.named_parameters())
    grads = torch.autograd.grad(loss, [tensors[name] for name in names])
    assert all(grad.isfinite().all() and grad.norm() > 1e-4 for grad in grads)


def test_other_architectures_are_refused():
    message = (
        "mean pooling cannot be built into {}. It is supported for BertForSequenceClassification used as an encoder"
    )
    with pytest.raises(HfmetaError, match=message.format("GPT2LMHeadModel")):
        append_mean_pooling(tiny_gpt2())
    config = DistilBertConfig(vocab_size=VOCAB_SIZE, dim=16, hidden_dim=24, n_layers=1, n_heads=2)
    distil = seeded(lambda: DistilBertForSequenceClassification(config))
    with pytest.raises(HfmetaError, match=message.format("DistilBertForSequenceClassification")):
        append_mean_pooling(distil)
    with pytest.raises(HfmetaError, match="is_decoder=False"):
        append_mean_pooling(tiny_bert(is_decoder=True))
