"""The metrics of one learner against the same metrics computed from its own runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hfmeta.algorithms import Cmaml, Maml
from hfmeta.comparison import score_learner
from hfmeta.comparison.similarity import draw, resemblance
from hfmeta.episodes import EpisodeDataset, FixedEpisodes
from hfmeta.learner import MetaLearner
from hfmeta.metrics import PAPER_UNIT, bleu_scores, model_differences
from hfmeta.responses import Decoding, respond
from invariants.cmaml_runs import USERS, rows
from tiny import tiny_lstm, tiny_tokenizer

DECODING = Decoding(1, 4)


def episodes(count=6) -> FixedEpisodes:
    columns = {"task_column": "user", "input_column": "said", "target_column": "reply"}
    sizes = {"support": 3, "query": 2, "processing_class": tiny_tokenizer(), "task_type": "seq2seq-lm"}
    return FixedEpisodes(EpisodeDataset(rows(), **columns, **sizes), count)


def test_figures_are_those_of_the_runs():
    learner, tests = (
        MetaLearner(tiny_lstm(), Maml(inner_lr=0.5, order=1), processing_class=tiny_tokenizer()),
        episodes(),
    )
    first: dict = {}
    runs = list(respond(learner, tests, decoding=DECODING, observe=first.setdefault))
    found, replies = score_learner(learner, tests, decoding=DECODING)
    assert sorted(found["tasks"]) == sorted(USERS)
    metrics = found["metrics"]
    differences = model_differences(list(first.values()), learner.model, unit=PAPER_UNIT)
    assert metrics["diff"] == pytest.approx({"mean": differences.diff, "ci95": differences.diff_ci95}, nan_ok=True)
    assert metrics["delta"]["mean"] == pytest.approx(differences.delta)
    losses = [
        sum(run.nll.nll for run in runs if run.task == task) / sum(run.nll.tokens for run in runs if run.task == task)
        for task in found["tasks"]
    ]
    assert metrics["loss"]["per_task"] == pytest.approx(losses)
    assert metrics["perplexity"]["mean"] == pytest.approx(math.exp(np.mean(losses)))
    said = [text for run in runs for text in run.responses]
    true = [row["reply"] for run in runs for row in run.rows]
    assert metrics["bleu_corpus"]["mean"] == bleu_scores(said, true).corpus
    assert [one["response"] for one in replies] == said
    assert [one["reply"] for one in replies] == true
    assert "overlap" not in found, "nothing is pruned"


def test_without_adaptation_models_do_not_differ():
    learner = MetaLearner(tiny_lstm(), Maml(inner_lr=0.5, order=1), processing_class=tiny_tokenizer())
    found, _ = score_learner(learner, episodes(3), adapt=False, decoding=DECODING)
    assert found["metrics"]["diff"]["mean"] == found["metrics"]["delta"]["mean"] == 0


def test_structures_of_pruned_tasks_are_compared():
    cmaml = Cmaml(inner_lr=0.5, keep_ratio=0.5, prune_steps=1, inner_batch_size=None)
    learner = MetaLearner(tiny_lstm(), cmaml, processing_class=tiny_tokenizer())
    learner.private.begin([])
    learner.private.finish()
    found, _ = score_learner(learner, episodes(), decoding=DECODING)
    overlap = np.array(found["overlap"])
    assert overlap.shape == (len(USERS), len(USERS))
    assert 0 < found["metrics"]["overlap"]["mean"] <= 1
    assert np.allclose(np.diag(overlap), 1)


def test_like_personas_with_like_structures_correlate(tmp_path):
    personas = {"a": ["likes green tea"], "b": ["likes black tea"], "c": ["owns two cats"], "d": ["owns three cats"]}
    overlap = np.array([[1, 0.9, 0.5, 0.4], [0.9, 1, 0.4, 0.5], [0.5, 0.4, 1, 0.8], [0.4, 0.5, 0.8, 1]])
    found = resemblance(personas, list(personas), overlap)
    assert found.correlation.rho > 0.7
    figures = found.as_dict()
    assert figures["pairs"] == 6
    assert figures["overlap_of_most_similar"] > figures["overlap_of_least_similar"]
    assert draw({"test": found}, tmp_path / "pairs.png").stat().st_size > 5000
