"""Four tasks accumulated one by one equal one batch of four."""

from __future__ import annotations

import torch

from invariants.runs import tensors, trainer


def test_accumulated_tasks_equal_one_batch(tmp_path):
    whole = trainer(tmp_path, save_strategy="no", max_steps=2)
    parts = trainer(
        tmp_path, save_strategy="no", max_steps=2, per_device_train_batch_size=1, gradient_accumulation_steps=4
    )
    for run in (whole, parts):
        run.train()
    expected = tensors(whole)
    for name, value in tensors(parts).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5)
