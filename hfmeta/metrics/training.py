"""Training the classifiers that metrics judge with: a stock sequence-classification model on labelled texts or pairs.

Here: `transformers.Trainer` with what such a classifier needs, and its accuracy by class on held-out rows. Not here:
choosing and loading the backbone (models room) and making the rows (corpora room).
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset
from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.classifiers import MAX_LENGTH, TextClassifier, classify


@dataclass(frozen=True)
class ClassifierReport:
    """How a classifier does on rows it was not trained on.

    Args:
        accuracy: share of right rows, from 0 to 1.
        balanced_accuracy: mean over classes of the share of their rows that is right.
        top5: share of rows with the right class among the five likeliest; 1 where there are no more than five.
        by_class: share of right rows of each class that occurs.
        rows_by_class: how many rows of each.
        confusion: rows by true class and then by predicted class.
    """

    accuracy: float
    balanced_accuracy: float
    top5: float
    by_class: dict[str, float]
    rows_by_class: dict[str, int]
    confusion: dict[str, dict[str, int]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def train_classifier(
    model: nn.Module,
    tokenizer: Any,
    rows: Dataset,
    text_columns: Sequence[str],
    *,
    epochs: float = 3.0,
    learning_rate: float = 5e-5,
    batch_size: int = 32,
    max_length: int = MAX_LENGTH,
    freeze_embeddings: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Fine-tune a sequence-classification model on labelled rows; the class names of the rows go into its config.

    Args:
        model: with as many logits as the rows have classes; changed in place.
        tokenizer: of the model.
        rows: a column `label` of class labels, and the text columns.
        text_columns: one column, or two for pairs (in the order in which the metric will give them).
        epochs: passes over the rows.
        learning_rate: at its highest; it rises over the first tenth of the steps and falls linearly to zero.
        batch_size: rows per step.
        max_length: word pieces a row is cut to.
        freeze_embeddings: leave the word embeddings as they are: less to compute, and words that training never saw keep their places.
        seed: of the order of rows and of dropout. The head's first values are the model's own.

    Returns:
        the model, in evaluation mode.

    Raises:
        HfmetaError: rows without these columns, labels without names, or another number of classes than the model has logits.
    """
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    names = _class_names(rows, text_columns)
    config: Any = getattr(model, "config", None)
    if getattr(config, "num_labels", None) != len(names):
        raise HfmetaError(
            f"the rows have {len(names)} classes, the model {getattr(config, 'num_labels', 'no')} logits: load it "
            f"with num_labels={len(names)}."
        )
    config.id2label, config.label2id = dict(enumerate(names)), {name: index for index, name in enumerate(names)}
    if freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)  # type: ignore[operator]
    steps = max(1, round(epochs * -(-len(rows) // batch_size)))
    with tempfile.TemporaryDirectory() as scratch, _generators_kept():
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            warmup_steps=steps // 10,
            weight_decay=0.01,
            save_strategy="no",
            logging_steps=max(1, steps // 10),
            report_to=[],
            seed=seed,
            data_seed=seed,
            dataloader_pin_memory=False,
            train_sampling_strategy="group_by_length",
            disable_tqdm=True,
        )
        encoded = _encoded(rows, tokenizer, text_columns, max_length)
        collator = DataCollatorWithPadding(tokenizer)
        Trainer(model=model, args=arguments, train_dataset=encoded, data_collator=collator).train()
    return model.eval()


def _encoded(rows: Dataset, tokenizer: Any, text_columns: Sequence[str], max_length: int) -> Dataset:
    """Tokens and label of each row, one text or a pair of them."""
    return rows.map(
        lambda batch: tokenizer(
            *(batch[name] for name in text_columns), truncation="longest_first", max_length=max_length
        ),
        batched=True,
        remove_columns=[name for name in rows.column_names if name != "label"],
        keep_in_memory=True,
    )


def report_classifier(
    model: nn.Module, tokenizer: Any, rows: Dataset, text_columns: Sequence[str], *, batch_size: int = 64
) -> ClassifierReport:
    """Accuracy of a classifier on labelled rows, by class.

    Args:
        model: its logits are in the order of the rows' class labels.
        tokenizer: of the model.
        rows: as for `train_classifier`; not those it was trained on.
        text_columns: as for `train_classifier`.
        batch_size: rows per forward pass.

    Raises:
        HfmetaError: no rows, or see `train_classifier`.
    """
    names = _class_names(rows, text_columns)
    columns = [list(rows[name]) for name in text_columns]
    logits = classify(TextClassifier(model, tokenizer, "the classifier"), *columns, batch_size=batch_size)
    true = torch.tensor(rows["label"])
    best = logits.topk(min(5, len(names)), dim=-1).indices
    right = best[:, 0] == true
    confusion = {
        name: {other: int(((true == i) & (best[:, 0] == j)).sum()) for j, other in enumerate(names)}
        for i, name in enumerate(names)
    }
    counts = {name: sum(row.values()) for name, row in confusion.items() if sum(row.values())}
    by_class = {name: confusion[name][name] / count for name, count in counts.items()}
    return ClassifierReport(
        accuracy=float(right.double().mean()),
        balanced_accuracy=sum(by_class.values()) / len(by_class),
        top5=float((best == true[:, None]).any(-1).double().mean()),
        by_class=by_class,
        rows_by_class=counts,
        confusion=confusion,
    )


@contextmanager
def _generators_kept() -> Iterator[None]:
    """The Trainer seeds every global generator; whoever draws from them afterwards draws as if it had not."""
    python, array = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)


def _class_names(rows: Dataset, text_columns: Sequence[str]) -> list[str]:
    wanted = [*text_columns, "label"]
    absent = [name for name in wanted if name not in rows.column_names]
    if absent or not 1 <= len(text_columns) <= 2 or len(rows) == 0:
        raise HfmetaError(
            f"a classifier is trained on rows with one or two text columns and `label`: asked for {', '.join(wanted)}; "
            f"the {len(rows)} rows have {', '.join(rows.column_names) or 'no columns'}."
        )
    label = rows.features["label"]
    if not isinstance(label, ClassLabel):
        raise HfmetaError('the column label has no class names. Use rows.class_encode_column("label") first.')
    return list(label.names)
