"""Metrics: plain functions over tasks, and folders that `evaluate.load` opens."""

from hfmeta.metrics.bleu import BleuScores, bleu_scores
from hfmeta.metrics.classifiers import TextClassifier, load_classifier
from hfmeta.metrics.consistency import ConsistencyScore, consistency_labels, consistency_score
from hfmeta.metrics.difference import PAPER_UNIT, DifferenceSums, ModelDifferences, model_differences
from hfmeta.metrics.diversity import Distinct, distinct
from hfmeta.metrics.emoji import EmojiAccuracy, emoji_accuracy
from hfmeta.metrics.likelihood import BatchNll, Perplexity, perplexity, sequence_nll
from hfmeta.metrics.scores import PairedDifference, adaptation_gain, mean_ci95, paired_difference, task_accuracy
from hfmeta.metrics.structure import (
    RankCorrelation,
    mean_overlap,
    pair_rank_correlation,
    pairwise_overlap,
    structure_overlap,
)

__all__ = [
    "PAPER_UNIT",
    "BatchNll",
    "BleuScores",
    "ConsistencyScore",
    "DifferenceSums",
    "Distinct",
    "EmojiAccuracy",
    "ModelDifferences",
    "PairedDifference",
    "Perplexity",
    "RankCorrelation",
    "TextClassifier",
    "adaptation_gain",
    "bleu_scores",
    "consistency_labels",
    "consistency_score",
    "distinct",
    "emoji_accuracy",
    "load_classifier",
    "mean_ci95",
    "mean_overlap",
    "model_differences",
    "pair_rank_correlation",
    "paired_difference",
    "pairwise_overlap",
    "perplexity",
    "sequence_nll",
    "structure_overlap",
    "task_accuracy",
]
