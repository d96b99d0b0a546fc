"""The workloads: a model drawn at random, made-up tasks of one shape, an inner rate. Who computes their gradients: ways.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from hfmeta.adapters import attach_lora
from hfmeta.corpora.sinusoid import Sinusoid
from hfmeta.models.conv4 import Conv4Config, Conv4ForImageClassification
from hfmeta.models.mlp import MlpConfig, MlpForRegression

SEED, WAYS = 0, 5

Sets = dict[str, dict[str, Tensor]]
"""`support` `[T, S, ...]` and `query` `[T, Q, ...]` by argument name of the model."""


@dataclass(frozen=True)
class Workload:
    """A model and tasks for it.

    Args:
        name: a letter of the table.
        about: the model and the tasks in a few words.
        model: draws the model from torch's generator.
        rows: draws the sets of so many tasks, with S and Q rows.
        tasks: T, tasks of one outer step.
        sizes: S and Q.
        inner_lr: of every inner step.
        steps: the numbers K of inner steps that are timed.
        frozen: whether most of the model is frozen; all that is not adapts.
        compared: T, S and Q in the comparison of gradients, which is in double.
        large: steps of seconds, which get a third of the rounds.
    """

    name: str
    about: str
    model: Callable[[], Any]
    rows: Callable[[torch.Generator, int, int, int], Sets]
    tasks: int
    sizes: tuple[int, int]
    inner_lr: float
    steps: tuple[int, ...] = (1, 5)
    frozen: bool = False
    compared: tuple[int, int, int] = (1, 5, 5)
    large: bool = False

    def rounds(self, wanted: int) -> int:
        """How many rounds of timing it gets: a large one a third, but three if so many are wanted at all."""
        return max(min(3, wanted), wanted // 3) if self.large else wanted

    def build(self, dtype: torch.dtype = torch.float32) -> Any:
        """The model, the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = self.model()
        return model.to(dtype).eval()

    def batch(self, small: bool = False, dtype: torch.dtype = torch.float32) -> Sets:
        """The tasks of one outer step, or the fewer and smaller ones that are compared; the same at every call."""
        sizes = self.compared if small else (self.tasks, *self.sizes)
        sets = self.rows(torch.Generator().manual_seed(SEED), *sizes)
        return {
            part: {name: value.to(dtype) if value.is_floating_point() else value for name, value in rows.items()}
            for part, rows in sets.items()
        }


def sinusoids(_: torch.Generator, tasks: int, support: int, query: int) -> Sets:
    """Points of sine waves."""
    episodes = Sinusoid(support, query).tasks(SEED, [(0, index) for index in range(tasks)])
    return {
        part: {name: torch.stack([episode[part][name] for episode in episodes]) for name in ("inputs", "labels")}
        for part in ("support", "query")
    }


def images(dice: torch.Generator, tasks: int, support: int, query: int) -> Sets:
    """Black and white images of 28 x 28 pixels in five classes."""

    def rows(count: int) -> dict[str, Tensor]:
        pixels = (torch.rand(tasks, count, 1, 28, 28, generator=dice) < 0.15).float()
        return {"pixel_values": pixels, "labels": torch.arange(count).remainder(WAYS).expand(tasks, -1)}

    return {"support": rows(support), "query": rows(query)}


def sentences(length: int, vocabulary: int) -> Callable[[torch.Generator, int, int, int], Sets]:
    """Rows of so many tokens in five classes."""

    def draw(dice: torch.Generator, tasks: int, support: int, query: int) -> Sets:
        def rows(count: int) -> dict[str, Tensor]:
            ids = torch.randint(5, vocabulary, (tasks, count, length), generator=dice)
            labels = torch.arange(count).remainder(WAYS).expand(tasks, -1)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

        return {"support": rows(support), "query": rows(query)}

    return draw


def texts(length: int, vocabulary: int) -> Callable[[torch.Generator, int, int, int], Sets]:
    """Rows of so many tokens, each to be predicted from those before it."""

    def draw(dice: torch.Generator, tasks: int, support: int, query: int) -> Sets:
        def rows(count: int) -> dict[str, Tensor]:
            ids = torch.randint(5, vocabulary, (tasks, count, length), generator=dice)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}

        return {"support": rows(support), "query": rows(query)}

    return draw


def mlp() -> Any:
    """The network of the sinusoid task; larger initial weights than in training, so that second derivatives count."""
    return MlpForRegression(MlpConfig(hidden_sizes=(40, 40), init_std=0.3))


def conv4() -> Any:
    """The network of the Omniglot task."""
    config: Any = Conv4Config()
    config.num_labels = WAYS
    return Conv4ForImageClassification(config)


def bert(width: int, layers: int, heads: int) -> Any:
    """An encoder without dropout."""
    config: Any = BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config.num_labels = WAYS
    return BertForSequenceClassification(config)


def gpt2() -> Any:
    """A language model without dropout; its input and output embeddings are one tensor."""
    config = GPT2Config(n_embd=256, n_layer=4, n_head=4, vocab_size=8000, bos_token_id=1, eos_token_id=1)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    model: Any = GPT2LMHeadModel(config)
    model.loss_function = next_token_loss
    return model


def next_token_loss(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    """The stock loss without its cast to float32, which would blur a comparison in double (to 2e-8)."""
    return cross_entropy(logits[..., :-1, :].flatten(0, -2), labels[..., 1:].flatten())


def lora(model: Any, task_type: str, targets: list[str], head: str | None = None) -> PeftModel:
    """A LoRA of rank 8 whose second matrices are not zero, as after some training."""
    adapted = attach_lora(model, task_type, r=8, target_modules=targets, head=head, seed=SEED)
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.02)
    return adapted


_BERT_ROWS, _GPT2_ROWS = sentences(32, 30522), texts(64, 8000)
_ADAPTERS: dict[str, Any] = {
    "tasks": 8,
    "inner_lr": 0.01,
    "steps": (3,),
    "frozen": True,
    "compared": (2, 5, 5),
    "large": True,
}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("A", "sinusoid, MLP 1-40-40-1, 10-shot", mlp, sinusoids, 25, (10, 10), 0.01, compared=(25, 10, 10)),
        Workload(
            "B", "Omniglot, conv4 of 64 filters, 5-way 1-shot", conv4, images, 4, (5, 75), 0.4, compared=(2, 5, 25)
        ),
        Workload(
            "C1", "BERT 128 x 2, 5-way 5-shot", lambda: bert(128, 2, 2), _BERT_ROWS, 4, (25, 25), 0.01, large=True
        ),
        Workload(
            "C2", "BERT 384 x 6, 5-way 5-shot", lambda: bert(384, 6, 12), _BERT_ROWS, 1, (25, 25), 0.01, large=True
        ),
        Workload("D", "GPT-2 256 x 4, 10 rows", gpt2, _GPT2_ROWS, 1, (10, 10), 0.01, compared=(1, 3, 3), large=True),
        Workload(
            "C2-LoRA",
            "C2 frozen; a LoRA of rank 8 and the head adapt, 5-way 1-shot",
            lambda: lora(bert(384, 6, 12), "sequence-classification", ["query", "value"], "classifier"),
            _BERT_ROWS,
            sizes=(5, 25),
            **_ADAPTERS,
        ),
        Workload(
            "D-LoRA",
            "D frozen; a LoRA of rank 8 adapts, 5 rows",
            lambda: lora(gpt2(), "causal-lm", ["c_attn"]),
            _GPT2_ROWS,
            sizes=(5, 10),
            **_ADAPTERS,
        ),
    )
}
"""The table's rows. B has 75 query images a task; rows of C have 32 tokens, rows of D 64."""
