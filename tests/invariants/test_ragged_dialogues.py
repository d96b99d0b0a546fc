"""Episodes by dialogue are ragged; stacked and padded, every task scores as it does alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.config import MetaConfig
from hfmeta.corpora import load_persona_chat
from hfmeta.episodes import EpisodeDataset
from hfmeta.learner import MetaLearner
from hfmeta.trainer import MetaTrainer
from tiny import tiny_t5, tiny_tokenizer, with_lora
from tiny_dialogues import write_persona_chat


@pytest.mark.parametrize(("model", "evaluator"), [("t5", "looped"), ("t5-lora", "looped"), ("t5-lora", "batched")])
def test_padded_dialogues_change_no_score(tmp_path: Path, model: str, evaluator: str) -> None:
    rows = load_persona_chat(write_persona_chat(tmp_path, users=3, dialogues=4))
    kept = [n for n, name in enumerate(rows["dialogue"]) if name not in ("train:4", "train:7", "train:5")]
    episodes = EpisodeDataset(
        rows.select(kept),
        task_column="persona",
        input_column="context",
        target_column="reply",
        task_type="seq2seq-lm",
        group_column="dialogue",
        processing_class=tiny_tokenizer(),
    )
    made = list(episodes)
    assert len({len(one["support"]["labels"]) for one in made}) == 3
    base = tiny_t5(dtype=torch.float64)
    learner = MetaLearner(
        with_lora(base) if "lora" in model else base, Maml(inner_steps=2, inner_lr=0.05, evaluator=evaluator)
    )

    def losses(chosen: list) -> torch.Tensor:
        batch = episodes.collate(chosen)
        return learner.scores(batch["support"], batch["query"], batch["task"])["loss"]

    together = losses(made)
    assert together.shape == (3, 3)
    torch.testing.assert_close(together, torch.cat([losses([one]) for one in made]), rtol=1e-12, atol=1e-12)

    args = MetaConfig(str(tmp_path / "run"), report_to="none", use_cpu=True, per_device_eval_batch_size=1)
    found = MetaTrainer(learner, args).task_scores(made)["loss"]
    torch.testing.assert_close(torch.as_tensor(found), together, rtol=1e-6, atol=1e-6)
