"""Perplexity of sequence models: summed losses per batch, and the two averages that papers report.

Here: the losses of a model over ready batches, and perplexities from such sums. Not here: encoding text (episodes room), generating.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.scores import IGNORED, mean_ci95


class BatchNll(NamedTuple):
    """What one batch adds to a perplexity.

    Args:
        nll: sum over the counted tokens of -log p, in nats.
        tokens: number of counted tokens.
    """

    nll: float
    tokens: int


@dataclass(frozen=True)
class Perplexity:
    """Perplexity over tasks, averaged in the two ways that papers use.

    Args:
        macro: exp of the mean over tasks of a task's mean loss per token; every task counts the same.
        macro_ci95: lower and upper end of its 95 % interval over tasks (taken on the losses, so not symmetric); nan for one task.
        micro: exp of the mean loss over all tokens; every token counts the same.
        per_task: perplexity of each task, in the order given.
        tokens: number of counted tokens.
    """

    macro: float
    macro_ci95: tuple[float, float]
    micro: float
    per_task: tuple[float, ...]
    tokens: int


def perplexity(tasks: Mapping[Any, Iterable[tuple[float, int]]] | Sequence[Iterable[tuple[float, int]]]) -> Perplexity:
    """Macro and micro perplexity from the batches of each task.

    A task's loss is the sum over its batches divided by the sum of their tokens, so the size of the batches does not matter. The
    reference code of CMAML averages batch means instead, which does depend on it; with equally long batches the two agree.

    Args:
        tasks: for each task (or run) its batches as (sum of -log p in nats, tokens) pairs, such as `sequence_nll` gives.

    Raises:
        HfmetaError: no task, a task without a token, a loss that is not finite or is negative.

    Source: Song et al. 2020 (CMAML), the PPL column: the macro average.
    """
    groups = tasks if isinstance(tasks, Mapping) else dict(enumerate(tasks))
    if not groups:
        raise HfmetaError("perplexity needs the batches of at least one task: got none.")
    losses, sums, counts = [], [], []
    for task, batches in groups.items():
        pairs = [BatchNll(float(nll), int(tokens)) for nll, tokens in batches]
        for pair in pairs:
            if not math.isfinite(pair.nll) or pair.nll < 0 or pair.tokens < 0:
                raise HfmetaError(
                    f"a batch of task {task!r} has summed loss {pair.nll} over {pair.tokens} tokens; both must be "
                    "finite and at least 0."
                )
        nll, tokens = math.fsum(pair.nll for pair in pairs), sum(pair.tokens for pair in pairs)
        if tokens == 0:
            raise HfmetaError(
                f"task {task!r} has no token to take the loss of. Leave the task out, or check its labels."
            )
        losses.append(nll / tokens)
        sums.append(nll)
        counts.append(tokens)
    mean, half = mean_ci95(losses)
    return Perplexity(
        macro=_exp(mean),
        macro_ci95=(_exp(mean - half), _exp(mean + half)),
        micro=_exp(math.fsum(sums) / sum(counts)),
        per_task=tuple(_exp(loss) for loss in losses),
        tokens=sum(counts),
    )


def sequence_nll(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], *, shift: bool | None = None
) -> list[BatchNll]:
    """Summed token losses of a sequence model over ready batches, with dropout off.

    The model's modes (training or evaluation, module by module) are put back afterwards; no gradient is kept.

    Args:
        model: a transformers model with a language-modelling head, or a PEFT model around one.
        batches: keyword arguments of the model, `labels` [B, L] among them; labels of -100 are left out.
        shift: True where the logits at a position are of the next label (causal models), False where they are of the same one
            (encoder-decoder models); None reads `model.config.is_encoder_decoder`.

    Returns:
        one `BatchNll` for each batch, in order.

    Raises:
        HfmetaError: batches without labels, a model without a config where `shift` is None, logits that do not fit the labels, a
            loss that is not finite.
    """
    if shift is None:
        config = getattr(model, "config", None)
        if not hasattr(config, "is_encoder_decoder"):
            raise HfmetaError(
                f"{type(model).__name__} has no config that says whether it is an encoder-decoder model. Pass "
                "shift=True (causal) or False."
            )
        shift = not config.is_encoder_decoder  # type: ignore[union-attr]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    records = []
    with evaluation_mode(model), torch.no_grad():
        for number, batch in enumerate(batches):
            if "labels" not in batch:
                raise HfmetaError(
                    f"batch {number} has no labels, only {', '.join(batch)}: there is nothing to take a loss of."
                )
            moved = {name: value.to(device) for name, value in batch.items()}
            records.append(_summed_loss(model(**moved).logits, moved["labels"], shift, number))
    return records


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Dropout off inside the block; afterwards every module is in the mode it was in.

    Args:
        model: the module and all its submodules are switched.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _summed_loss(logits: Tensor, labels: Tensor, shift: bool, number: int) -> BatchNll:
    if logits.dim() != 3 or logits.shape[:2] != labels.shape:
        raise HfmetaError(
            f"batch {number}: logits of shape {list(logits.shape)} do not fit labels of shape {list(labels.shape)}; "
            "expected [B, L, V] and [B, L]."
        )
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    tokens = int((labels != IGNORED).sum())
    loss = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    nll = float(loss.double().sum())
    if not math.isfinite(nll):
        raise HfmetaError(
            f"the loss of batch {number} is not finite ({nll}): the model's weights or inputs are broken."
        )
    return BatchNll(nll, tokens)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:  # more than 709 nats a token: a diverged model, not a reason to lose the whole table
        return math.inf
