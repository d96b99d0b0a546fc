"""Features of a model that stays as it is: what it feeds its head, for the rows of episodes.

Here: one pass for every distinct row, whatever episodes it is in. Not here: what is done with features (`classifiers.py`,
`tuning.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hfmeta.inner.evaluators.head import head_features
from hfmeta.metrics.likelihood import evaluation_mode
from hfmeta.models.heads import head_of, mixes_rows


class EpisodeFeatures(NamedTuple):
    """What a frozen model feeds its head for one episode: `support` [S, d] and `query` [Q, d] with their labels [S], [Q]."""

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor


def frozen_features(
    model: nn.Module, episodes: Iterable[Mapping[str, Any]], batch_rows: int = 256
) -> list[EpisodeFeatures]:
    """The inputs of the model's head for every row of every episode.

    Rows that occur again, within or across episodes, pass through the model once, sorted by length and without their padding. A model
    that normalises by the statistics of its batch gets each support set and each query set by itself instead.

    Args:
        model: a model whose head is a linear layer on one vector per row.
        episodes: dicts `{"support": {name: [S, ...]}, "query": {name: [Q, ...]}, ...}` with `labels` on both sides.
        batch_rows: rows in one pass; more is faster until memory ends.

    Raises:
        HfmetaError: the head does not read one vector per row, or there is none.
    """
    _, head = head_of(model)
    sets = [episode[side] for episode in episodes for side in ("support", "query")]
    with evaluation_mode(model), torch.no_grad():
        if mixes_rows(model):
            vectors = [_features(model, head, one) for one in sets]
        else:
            vectors = _features_of_distinct_rows(model, head, sets, batch_rows)
    labels = [one["labels"].to(vector.device) for one, vector in zip(sets, vectors, strict=True)]
    return [EpisodeFeatures(vectors[i], labels[i], vectors[i + 1], labels[i + 1]) for i in range(0, len(sets), 2)]


def moved(rows: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The same rows on a device."""
    return {name: value.to(device) for name, value in rows.items()}


def device_of(model: nn.Module) -> torch.device:
    """Where the model's tensors are."""
    return next(model.parameters()).device


def _features_of_distinct_rows(
    model: nn.Module, head: nn.Linear, sets: Sequence[Mapping[str, Tensor]], batch_rows: int
) -> list[Tensor]:
    """The features [rows, d] of each set, every distinct row having passed through the model once."""
    distinct: dict[bytes, dict[str, Tensor]] = {}
    keys: list[list[bytes]] = []
    for one in sets:
        rows = [
            _trimmed({name: value[i] for name, value in one.items() if name != "labels"})
            for i in range(len(one["labels"]))
        ]
        keys.append([_key(row) for row in rows])
        distinct.update(zip(keys[-1], rows, strict=True))
    order = sorted(distinct, key=lambda key: sum(value.numel() for value in distinct[key].values()))
    pad = getattr(getattr(model, "config", None), "pad_token_id", None) or 0
    found: dict[bytes, Tensor] = {}
    for first in range(0, len(order), batch_rows):
        group = order[first : first + batch_rows]
        found.update(zip(group, _features(model, head, _padded([distinct[key] for key in group], pad)), strict=True))
    return [torch.stack([found[key] for key in row_keys]) for row_keys in keys]


def _features(model: nn.Module, head: nn.Linear, rows: Mapping[str, Tensor]) -> Tensor:
    count = len(next(iter(rows.values())))
    batch = {name: value[None] for name, value in moved(rows, device_of(model)).items() if name != "labels"}
    return head_features(model, head, {**batch, "labels": torch.zeros(1, count)})[0]


def _trimmed(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """A row of tokens without the padding on its right; other rows as they are."""
    if "input_ids" not in row:
        return row
    width = len(row["input_ids"])
    mask = row.get("attention_mask", torch.ones(width, dtype=torch.int64))
    end = int(mask.nonzero().max()) + 1
    return {
        name: value[:end] if value.shape == (width,) else value
        for name, value in {**row, "attention_mask": mask}.items()
    }


def _key(row: Mapping[str, Tensor]) -> bytes:
    parts = (
        f"{name}{tuple(value.shape)}{value.dtype}".encode() + value.cpu().numpy().tobytes()
        for name, value in sorted(row.items())
    )
    return b"|".join(parts)


def _padded(rows: Sequence[Mapping[str, Tensor]], pad_token_id: int) -> dict[str, Tensor]:
    fill = {"input_ids": pad_token_id}
    return {
        name: pad_sequence([row[name] for row in rows], batch_first=True, padding_value=fill.get(name, 0))
        if rows[0][name].dim()
        else torch.stack([row[name] for row in rows])
        for name in rows[0]
    }
