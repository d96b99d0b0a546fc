"""MetaConfig: the Trainer's arguments with the settings refused that an inner loop cannot live with."""

from __future__ import annotations

import pytest
import torch

from hfmeta import HfmetaError, MetaConfig


def test_defaults_fit_episodes(tmp_path):
    config = MetaConfig(output_dir=str(tmp_path))
    assert config.remove_unused_columns is False
    assert config.rule_learning_rate is None
    assert config.dataloader_pin_memory is torch.cuda.is_available(), "torch warns of it elsewhere"
    assert config.to_dict()["remove_unused_columns"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"remove_unused_columns": True}, "would drop support and query from every episode"),
        (
            {"gradient_checkpointing": True},
            'silently wrong gradient with an inner loop. Use the algorithm.s backward="recompute"',
        ),
        ({"activation_checkpointing": True}, "activation_checkpointing=True gives a silently wrong gradient"),
        ({"fsdp": "full_shard"}, "shards the adapted tensors, which an inner loop must replace whole"),
    ],
)
def test_refusals(options, words, tmp_path):
    with pytest.raises(HfmetaError, match=words):
        MetaConfig(output_dir=str(tmp_path), **options)


def test_processes_that_were_started_but_do_not_join_are_refused(tmp_path, monkeypatch):
    """Each would do the whole run and write to the same files; CPUs are made to join, other devices may not know how."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    with pytest.raises(
        HfmetaError, match=r"2 processes were started \(WORLD_SIZE\), but 1 work together.*training.use_cpu=true"
    ):
        MetaConfig(output_dir=str(tmp_path))
