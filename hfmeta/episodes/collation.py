"""Episodes -> one batch `[T, S, ...]`: right padding of tokens and, where sets are ragged, of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hfmeta.episodes.encoding.base import IGNORED
from hfmeta.episodes.errors import EpisodeError

_TOKENS = ("input_ids", "attention_mask", "labels", "token_type_ids", "position_ids", "decoder_input_ids")


def collate_episodes(episodes: Sequence[Mapping[str, Any]], *, pad_token_id: int = 0) -> dict[str, Any]:
    """Stack T episodes, padding on the right to the longest row, and ragged sets to the largest.

    A padded token has mask 0 and label -100. A padded row (of sets that `too_small="shrink"` made ragged) has labels -100 and one
    attended padding token, so that no attention row is empty. Support and query are padded apart.

    Args:
        episodes: T dicts `{"support": {name: [S, ...]}, "query": {name: [Q, ...]}, "task": int}`.
        pad_token_id: fills padded `input_ids`; `EpisodeDataset.collate` passes that of its tokenizer.

    Returns:
        `{"support": {name: [T, S, ...]}, "query": {name: [T, Q, ...]}, "task": LongTensor[T]}`.

    Raises:
        EpisodeError: no episodes, unlike tensor names, ragged sets of float labels or of images, or shapes that do not stack.
    """
    if not episodes:
        raise EpisodeError("there are no episodes to collate; a batch needs at least 1 task.")
    batch: dict[str, Any] = {}
    for side in ("support", "query"):
        if absent := [n for n, episode in enumerate(episodes) if side not in episode]:
            raise EpisodeError(
                f"episode {absent[0]} of the batch has no {side!r}; it has {list(episodes[absent[0]])}. Rows become episodes by "
                "EpisodeDataset(rows, ...)."
            )
        batch[side] = _stack([episode[side] for episode in episodes], side, pad_token_id)
    batch["task"] = torch.tensor([int(episode.get("task", -1)) for episode in episodes], dtype=torch.int64)
    return batch


def _stack(sets: Sequence[Mapping[str, Tensor]], side: str, pad_token_id: int) -> dict[str, Tensor]:
    """Return the stacked tensors of one side."""
    names = list(sets[0])
    for number, one in enumerate(sets):
        if set(one) != set(names):
            raise EpisodeError(
                f"the {side} set of episode {number} has the tensors {sorted(one)}, the first has {sorted(names)}."
            )
    rows = [max((t.shape[0] for t in one.values() if t.ndim), default=0) for one in sets]
    if min(rows) != max(rows):
        _check_ragged(sets[0], side, rows)
    return {name: _stack_one(name, [one[name] for one in sets], side, pad_token_id) for name in names}


def _check_ragged(first: Mapping[str, Tensor], side: str, rows: Sequence[int]) -> None:
    """Refuse padded rows where nothing can mark them as padding, or where they would change the other rows."""
    if "labels" not in first or first["labels"].is_floating_point():
        why = "float labels have no -100 to mark a padded row"
    elif "pixel_values" in first:
        why = "a padded image would enter the batch statistics of normalisation layers"
    else:
        return
    raise EpisodeError(
        f"the {side} sets of one batch have {min(rows)} to {max(rows)} rows, and {why}. "
        'Use too_small="drop", equal sizes, or one task per batch.'
    )


def _stack_one(name: str, tensors: list[Tensor], side: str, pad_token_id: int) -> Tensor:
    """Return one tensor `[T, ...]`, padded in rows and tokens where needed."""
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) == 1:
        return torch.stack(tensors)
    if name not in _TOKENS or len({t.ndim for t in tensors}) > 1 or tensors[0].ndim not in (1, 2):
        raise EpisodeError(f"{side}[{name!r}] has shapes that do not stack: {sorted(shapes)}.")
    size = [max(t.shape[d] for t in tensors) for d in range(tensors[0].ndim)]
    fill = {"labels": IGNORED, "input_ids": pad_token_id}.get(name, 0)
    out = tensors[0].new_full((len(tensors), *size), fill)
    for row, tensor in zip(out, tensors, strict=True):
        row[tuple(slice(n) for n in tensor.shape)] = tensor
        if name == "attention_mask":
            row[tensor.shape[0] :, 0] = 1
    return out
