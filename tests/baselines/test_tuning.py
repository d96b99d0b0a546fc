"""Checks of hfmeta/baselines/tuning.py."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hfmeta.baselines import fine_tuning, frozen_features, no_adaptation, tuning
from hfmeta.inner.errors import HfmetaError
from tiny import (
    ragged_batch,
    random_batch,
    seen_by,
    tiny_bert,
    tiny_conv4,
    tiny_gpt2,
    tiny_mlp,
    tiny_t5,
    tiny_vit,
    with_lora,
)


def episodes_of(task, seed=0, **sizes):
    """Random episodes one by one; the query set is the support set, so that learning it by heart shows."""
    batch = random_batch(task, seed=seed, **sizes)
    rows = [{name: value[t] for name, value in batch["support"].items()} for t in range(len(batch["task"]))]
    return [{"support": one, "query": one, "task": t} for t, one in enumerate(rows)]


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("build", "task"),
    [
        (tiny_bert, "sequence-classification"),
        (tiny_vit, "image-classification"),
        (tiny_conv4, "image-classification"),
    ],
)
@pytest.mark.parametrize("adapt", ["all", "head"])
def test_a_support_set_is_learned_and_the_model_left_alone(build, task, adapt):
    model, episodes = build().train(), episodes_of(task, T=3)
    before = state(model)
    random_state = torch.random.get_rng_state()
    with torch.no_grad():  # as inside an evaluation loop
        after = fine_tuning(model, episodes, steps=60, lr=0.03 if adapt == "all" else 0.3, adapt=adapt)
    assert after.shape == (3,)
    assert after.dtype == torch.float64
    assert after.mean() > 0.9
    assert fine_tuning(model, episodes, steps=0, lr=0.1, adapt=adapt).mean() < 0.6
    assert unchanged(model, before)
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_sgd_on_the_whole_model_equals_steps_by_hand():
    model, episodes = tiny_mlp(dtype=torch.float64), episodes_of("regression", T=2, dtype=torch.float64)
    scores = fine_tuning(model, episodes, steps=3, lr=0.05, optimizer="sgd")
    for score, episode in zip(scores, episodes, strict=True):
        params = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
        x, y = episode["support"]["inputs"], episode["support"]["labels"]
        for _ in range(3):
            loss = (torch.func.functional_call(model, params, x).logits - y).square().mean()
            grads = torch.autograd.grad(loss, list(params.values()))
            params = {
                name: (value - 0.05 * grad).detach().requires_grad_()
                for (name, value), grad in zip(params.items(), grads, strict=True)
            }
        expected = (torch.func.functional_call(model, params, x).logits - y).square().mean()
        assert float(score) == pytest.approx(expected.item(), rel=1e-12)


def test_head_only_equals_the_whole_model_with_a_frozen_body():
    model, episodes = tiny_bert(dtype=torch.float64), episodes_of("sequence-classification", T=3)
    options = dict(steps=5, lr=0.2, optimizer="sgd", seed=4)
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    whole, head = fine_tuning(model, episodes, **options), fine_tuning(model, episodes, adapt="head", **options)
    torch.testing.assert_close(whole, head)
    model.classifier.requires_grad_(False)
    torch.testing.assert_close(fine_tuning(model, episodes, adapt="head", **options), head)
    with pytest.raises(
        HfmetaError, match="every tensor of BertForSequenceClassification is frozen, so there is nothing to"
    ):
        fine_tuning(model, episodes, **options)


def test_head_only_of_a_regression():
    model, episodes = tiny_mlp(dtype=torch.float64), episodes_of("regression", T=2, dtype=torch.float64)
    before = fine_tuning(model, episodes, steps=0, lr=0.1, adapt="head")
    torch.testing.assert_close(before, no_adaptation(model, episodes))
    assert (fine_tuning(model, episodes, steps=20, lr=0.1, adapt="head", optimizer="sgd") < before).all()


def test_heads_are_drawn_from_the_seed_and_the_position():
    model, episodes = tiny_bert(), episodes_of("sequence-classification", T=6, S=5)
    first, again = (fine_tuning(model, episodes, steps=0, lr=0.1, seed=1) for _ in range(2))
    assert torch.equal(first, again)
    others = [fine_tuning(model, episodes, steps=0, lr=0.1, seed=seed) for seed in (2, 3, 4)]
    assert any(not torch.equal(first, other) for other in others)
    assert torch.equal(first[:2], fine_tuning(model, episodes[:2], steps=0, lr=0.1, seed=1))


def test_reset_head_can_be_chosen():
    model, episodes = tiny_bert(), episodes_of("sequence-classification", T=4)
    kept = fine_tuning(model, episodes, steps=0, lr=0.1, reset_head=False)
    assert torch.equal(kept, no_adaptation(model, episodes))
    numbers = episodes_of("regression", T=2)
    drawn = fine_tuning(tiny_mlp(), numbers, steps=0, lr=0.1, reset_head=True)
    assert not torch.equal(drawn, no_adaptation(tiny_mlp(), numbers))


def test_tasks_do_not_touch_each_other():
    model, episodes = tiny_bert(), episodes_of("sequence-classification", T=3)
    together = fine_tuning(model, episodes, steps=4, lr=0.01, reset_head=False)
    alone = torch.cat([fine_tuning(model, [episode], steps=4, lr=0.01, reset_head=False) for episode in episodes])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(("build", "task"), [(tiny_gpt2, "causal-lm"), (tiny_t5, "seq2seq-lm")])
def test_language_models_are_scored_by_their_loss(build, task):
    model, episodes = build(), episodes_of(task, T=2)
    before = no_adaptation(model, episodes)
    with torch.no_grad():
        own = [model.eval()(**episode["query"]).loss.item() for episode in episodes]
    assert before.tolist() == pytest.approx(own)
    assert (fine_tuning(model, episodes, steps=20, lr=0.01) < before - 0.1).all()


def test_texts_of_unlike_length_are_scored_without_their_padding():
    """More rows than pass together: sorted by length, trimmed, and compared with their own labels."""
    model, rows, length = tiny_bert(dtype=torch.float64).eval(), 60, 12
    lengths = torch.arange(rows) % length + 1
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids = torch.randint(1, 50, (rows, length), generator=torch.Generator().manual_seed(0)) * mask
    seen, labels = [], torch.arange(rows) % 3
    model.register_forward_pre_hook(lambda _, __, given: seen.append(given["input_ids"].shape[1]), with_kwargs=True)
    query = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    with torch.no_grad():
        expected = (model(input_ids=ids, attention_mask=mask).logits.argmax(-1) == labels).double().mean()
    seen.clear()
    assert float(no_adaptation(model, [{"query": query}])) == float(expected)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[0] < length


class Weighted(torch.nn.Module):
    """A BERT whose loss weighs the classes, so that the loss of a set is no mean over its rows."""

    def __init__(self):
        super().__init__()
        self.bert = tiny_bert(dtype=torch.float64)

    def forward(self, labels, **inputs):
        logits = self.bert(**inputs).logits
        return F.cross_entropy(logits, labels, torch.arange(1, 1 + logits.shape[-1], dtype=logits.dtype)), logits


@pytest.mark.parametrize(("model", "in_passes"), [(tiny_bert(dtype=torch.float64), True), (Weighted(), False)])
def test_support_sets_go_in_passes_only_where_the_gradient_stays_the_same(model, in_passes, monkeypatch):
    support = {name: value[0] for name, value in ragged_batch(tasks=2, rows=25).items()}
    support["labels"] = torch.arange(25) % 3
    stepped = []

    class Watched(torch.optim.SGD):
        def step(self):
            stepped.extend(p.grad.clone() for group in self.param_groups for p in group["params"])

    monkeypatch.setitem(tuning.OPTIMIZERS, "sgd", Watched)
    seen = seen_by(model if in_passes else model.bert)
    fine_tuning(model, [{"support": support, "query": support}], steps=1, lr=0.1, optimizer="sgd", reset_head=False)
    whole = seen.count(support["input_ids"].shape)
    assert whole == 1 if in_passes else whole > 1, "one pass of the whole set shows whether the passes add up to it"
    tuning.loss_and_logits(model.eval()(**support))[0].backward()
    expected = [p.grad for p in model.parameters()]
    assert len(stepped) == len(expected)
    for found, wanted in zip(stepped, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


def test_a_classifier_without_logits_is_named():
    class Mute(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

        def forward(self, inputs, labels):
            return (F.cross_entropy(self.layer(inputs), labels),)

    query = {"inputs": torch.ones(3, 2), "labels": torch.arange(3)}
    with pytest.raises(HfmetaError, match="Mute returns a loss alone; class labels are scored by logits"):
        no_adaptation(Mute(), [{"query": query}])


def test_only_the_adapter_of_a_peft_model_moves():
    model, episodes = with_lora(tiny_bert()), episodes_of("sequence-classification", T=2)
    before = state(model)
    assert fine_tuning(model, episodes, steps=60, lr=0.05).mean() > 0.9
    assert unchanged(model, before)


def test_no_adaptation_is_the_accuracy_of_the_model_as_it_stands():
    model, episodes = tiny_bert().train(), episodes_of("sequence-classification", T=3)
    accuracies = no_adaptation(model, episodes)
    assert model.training
    for accuracy, episode, features in zip(accuracies, episodes, frozen_features(model, episodes), strict=True):
        logits = F.linear(features.query, model.classifier.weight, model.classifier.bias)
        assert float(accuracy) == (logits.argmax(-1) == episode["query"]["labels"]).double().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapt": "body"}, "unknown adapt='body' for fine-tuning; choose one of all, head"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion' for fine-tuning; choose one of adamw, sgd"),
        ({"steps": -1}, "steps=-1 is impossible for fine-tuning; it must be 0 or more"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(HfmetaError, match=message):
        fine_tuning(tiny_mlp(), episodes_of("regression"), **({"steps": 1, "lr": 0.1} | options))
