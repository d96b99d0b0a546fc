"""E-acc: whether an emoji classifier finds in a response the emoji it was to be written for, in its first guess or its first five.

Not here: the classifier itself; `recipes/moji/train_emoji_classifier.py` trains one.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.classifiers import MAX_LENGTH, TextClassifier, check_width, classify, label_names, load_classifier
from hfmeta.metrics.grouping import check_same_length, mean_over_tasks

_VARIATION_SELECTORS = dict.fromkeys([0xFE0E, 0xFE0F])


@dataclass(frozen=True)
class EmojiAccuracy:
    """Emoji accuracy of a set of responses, with the classifier that judged them.

    Args:
        top1: mean over tasks of the share of responses whose likeliest emoji is the target (over responses where no tasks were given).
        top1_ci95: half width of its 95 % interval over tasks (or responses); nan for one.
        top5: share with the target among the five likeliest; 1 where the classifier knows no more than five.
        top5_ci95: likewise.
        responses: number of responses.
        model: name of the classifier, to be quoted with the numbers.
        emojis: number of emojis it chooses from; chance is 1 / emojis.
    """

    top1: float
    top1_ci95: float
    top5: float
    top5_ci95: float
    responses: int
    model: str
    emojis: int

    def __str__(self) -> str:
        """The numbers with the model behind them."""
        return (
            f"E-acc top-1 {self.top1:.4f} +- {self.top1_ci95:.4f}, top-5 {self.top5:.4f} +- {self.top5_ci95:.4f} "
            f"(classifier {self.model}, {self.emojis} emojis)"
        )


def emoji_labels(model: nn.Module, expected: Iterable[str] | None = None) -> dict[str, int]:
    """The logit of each emoji, from the class names in a classifier's config; emoji and text style of one sign are the same.

    Args:
        model: its config names the classes in `id2label` or `label2id`.
        expected: the label set of the corpus; None: any.

    Raises:
        HfmetaError: classes without names or with the same one twice, or another set than the expected one.
    """
    names = [plain_emoji(name) for name in label_names(model, "emoji classifier")]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise HfmetaError(f"the config of the emoji classifier names {', '.join(twice)} more than once.")
    if expected is not None:
        wanted = {plain_emoji(name) for name in expected}
        absent, extra = sorted(wanted - set(names)), sorted(set(names) - wanted)
        if absent or extra:
            raise HfmetaError(
                f"the emoji classifier chooses from another label set than the corpus: it lacks {_some(absent)} and has besides "
                f"{_some(extra)}. Train one on the labels of this corpus."
            )
    return {name: index for index, name in enumerate(names)}


def emoji_accuracy(
    responses: Sequence[str],
    targets: Sequence[str],
    classifier: str | os.PathLike[str] | nn.Module | TextClassifier,
    tokenizer: Any = None,
    tasks: Sequence[Hashable] | None = None,
    *,
    label_set: Iterable[str] | None = None,
    batch_size: int = 64,
    max_length: int = MAX_LENGTH,
) -> EmojiAccuracy:
    """Share of responses in which the classifier finds the target emoji, at its first guess and among its first five.

    Args:
        responses: N generated texts.
        targets: N emojis that the responses were to express.
        classifier: the judge: a hub id, a folder, a sequence-classification model or a loaded `TextClassifier`.
        tokenizer: of a model that is handed over.
        tasks: N task ids; the shares are then means over tasks. None: means over responses.
        label_set: all emojis of the corpus, which must be those of the classifier; None: only the targets are looked for.
        batch_size: distinct texts per forward pass.
        max_length: word pieces a text is cut to.

    Raises:
        HfmetaError: lists of unequal length, a target the classifier does not know, a label set that is not the classifier's, a model
            that cannot be loaded or does not name its classes.

    Source: Zhou and Wang 2018 (MojiTalk); Song et al. 2020 (CMAML), the E-acc column.
    """
    check_same_length("E-acc", responses=responses, targets=targets, tasks=tasks)
    judge = load_classifier(classifier, tokenizer)
    index = emoji_labels(judge.model, label_set)
    wanted = [plain_emoji(target) for target in targets]
    unknown = sorted(set(wanted) - index.keys())
    if unknown:
        raise HfmetaError(
            f"the emoji classifier {judge.name} does not know {_some(unknown)}; it knows {_some(sorted(index))}. Leave such responses "
            "out, or take a classifier of the corpus' own label set."
        )
    logits = classify(judge, responses, batch_size=batch_size, max_length=max_length)
    check_width(logits, list(index), "emoji classifier")
    best = logits.topk(min(5, len(index)), dim=-1).indices.tolist()
    first = [float(row[0] == index[target]) for row, target in zip(best, wanted, strict=True)]
    five = [float(index[target] in row) for row, target in zip(best, wanted, strict=True)]
    top1, top1_ci95, _ = mean_over_tasks(first, tasks)
    top5, top5_ci95, _ = mean_over_tasks(five, tasks)
    return EmojiAccuracy(top1, top1_ci95, top5, top5_ci95, len(responses), judge.name, len(index))


def plain_emoji(emoji: str) -> str:
    """An emoji without surrounding space and without the invisible sign that asks for its coloured or its text form.

    Args:
        emoji: one label.
    """
    return emoji.strip().translate(_VARIATION_SELECTORS)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) or "nothing"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
