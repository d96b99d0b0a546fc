"""Classifiers for tests whose answers are known: they look for words, so that a score can be computed by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from tiny import tiny_bert, tiny_tokenizer


class WordJudge(nn.Module):
    """Logits by words of the two segments, found by their token numbers.

    A pair is class `agree` where both segments have a word in common that is no function word, class `deny` where the first also
    has "no", else class `else_`.
    """

    def __init__(self, labels: dict[int, str], agree: int, deny: int | None, else_: int | None):
        super().__init__()
        self.config = SimpleNamespace(id2label=labels, label2id={v: k for k, v in labels.items()}, name_or_path="judge")
        self.anchor = nn.Parameter(torch.zeros(1))
        self.agree, self.deny, self.else_, self.width = agree, deny, else_, len(labels)
        self.batches: list[tuple[int, int]] = []

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        self.batches.append(tuple(input_ids.shape))
        assert not self.training
        logits = torch.zeros(len(input_ids), self.width)
        tokenizer = tiny_tokenizer()
        plain = {tokenizer.convert_tokens_to_ids(word) for word in ("[CLS]", "[SEP]", "[PAD]", "my", "is", "the")}
        no = tokenizer.convert_tokens_to_ids("no")
        for row in range(len(input_ids)):
            seen = input_ids[row][attention_mask[row] == 1].tolist()
            border = seen.index(tokenizer.sep_token_id)
            first, second = set(seen[:border]) - plain, set(seen[border:]) - plain
            common = bool((first - {no}) & second)
            found = (self.deny if no in first else self.agree) if common else self.else_
            logits[row, found if found is not None else 0] = 1.0
        return SimpleNamespace(logits=logits)


def nli_judge(order: tuple[str, ...] = ("contradiction", "entailment", "neutral")) -> WordJudge:
    """A three-way judge with its classes in any order."""
    return WordJudge(
        dict(enumerate(order)), order.index("entailment"), order.index("contradiction"), order.index("neutral")
    )


def saved_classifier(folder: Any, names: list[str] | None, seed: int = 0) -> str:
    """A tiny random BERT classifier with a tokenizer, saved to a folder, with or without class names."""
    model = tiny_bert(num_labels=len(names or ["a", "b", "c"]), seed=seed)
    if names is not None:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: index for index, name in enumerate(names)}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)
