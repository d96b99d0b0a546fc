"""Learners of every kind that has files of its own, their support sets, and comparing what they adapt to."""

from __future__ import annotations

import torch

from hfmeta import Anil, Hsml, Maml, MetaLearner, MetaSgd
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, tiny_t5, tiny_tokenizer, tiny_vit, with_lora

TEXT, IMAGE, CAUSAL, SEQ2SEQ, NUMBERS = (
    "sequence-classification",
    "image-classification",
    "causal-lm",
    "seq2seq-lm",
    "regression",
)
LEARNERS = {
    "bert": (TEXT, tiny_bert, Maml(inner_steps=2, inner_lr=0.1)),
    "bert-lora": (TEXT, lambda: with_lora(tiny_bert()), Maml(inner_lr=0.1)),
    "bert-lora-adapter": (TEXT, lambda: with_lora(tiny_bert(), head=False), Maml(inner_lr=0.1, adapt="adapter")),
    "bert-prototype": (TEXT, tiny_bert, Anil(inner_lr=0.1, head="prototype")),
    "learned-rates": (TEXT, tiny_bert, MetaSgd(inner_lr=0.1)),
    "rates-per-step": (
        TEXT,
        tiny_bert,
        Maml(inner_steps=2, inner_lr=0.1, rates="tensor", rates_per_step=True, inner_clip=1.0),
    ),
    "mlp": (NUMBERS, tiny_mlp, Maml(inner_lr=0.1)),
    "conv4": (IMAGE, tiny_conv4, Maml(inner_lr=0.1)),
    "vit-lora": (IMAGE, lambda: with_lora(tiny_vit()), Maml(inner_lr=0.1)),
    "gpt2": (CAUSAL, tiny_gpt2, Maml(inner_lr=0.1, order=1)),
    "gpt2-lora": (CAUSAL, lambda: with_lora(tiny_gpt2()), Maml(inner_lr=0.1, rates="tensor")),
    "t5": (SEQ2SEQ, tiny_t5, Maml(inner_lr=0.1, order=1)),
    # Without the reconstruction, which training adds to the loss and evaluation does not.
    "hsml-mlp": (NUMBERS, tiny_mlp, Hsml(inner_lr=0.1, size=4, xi=0.0)),
    "hsml-conv4": (IMAGE, tiny_conv4, Hsml(inner_lr=0.1, size=4, tree=[], xi=0.0)),
    "hsml-lora": (
        TEXT,
        lambda: with_lora(tiny_bert()),
        Hsml(inner_lr=0.1, size=4, gate="rank", gate_scale=2.0, embedding="mean", xi=0.0),
    ),
    "t5-lora": (SEQ2SEQ, lambda: with_lora(tiny_t5()), Maml(inner_lr=0.1)),
}


def make_learner(name: str) -> MetaLearner:
    """A learner of `LEARNERS` whose learned rates and scales are moved away from their first values."""
    task, build, algorithm = LEARNERS[name]
    learner = MetaLearner(
        build(), algorithm, processing_class=tiny_tokenizer() if task in (TEXT, CAUSAL, SEQ2SEQ) else None
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in [*learner.rule.parameters(), *learner.init.parameters()]:
            value.add_(0.03 * torch.randn(value.shape, generator=generator))
    return learner


def support_of(task: str, **options):
    """One task's support set, `[S, ...]`."""
    return {name: value[0] for name, value in random_batch(task, T=1, **options)["support"].items()}


def answers(model, rows):
    """Logits (or predictions) of a model on rows that it may be trained on, without a gradient."""
    with torch.no_grad():
        return model(**rows).logits


def same_adaptation(one: MetaLearner, other: MetaLearner, task: str) -> bool:
    """Whether two learners adapt to the same answers, bit for bit."""
    rows = support_of(task)
    return torch.equal(answers(one.adapt(rows), rows), answers(other.adapt(rows), rows))
